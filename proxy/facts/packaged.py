"""The packaged tables: what is publicly known of the models of vendors we recognise, numbers and prices.

`models.json` holds them. `tools/make_facts.py` writes it from public packages whose names, versions and
hashes are in its head, with the day; `make facts` does that by hand, never an installation or a start.
`proxy/config` asks here for what neither the table nor a gate says. A vendor is known by the host of the
base URL alone: a vLLM, an Ollama or a gateway at another host has no vendor, hence no price and no facts,
whatever its models are called. Of a name that is not known nothing is said, least of all a neighbour's price.

Prices are those of a plain call, in nano-dollars per million tokens. Where a price depends on the time of
day, or another is announced, or two sources differ, the dearest is held, so that no limit in dollars is
overshot. What one price for each kind of token cannot say is not in them: callers who ask for a dearer
service tier, for caches that live an hour, for searches, or who send sound to a model that bills it
apart are billed more than is counted here. Models that speak, or bill by the call, have no price at all.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import orjson
from msgspec import Struct

from proxy.abilities import ModelFacts
from proxy.facts.names import plain, spellings
from proxy.usage import Price


class Host(Struct, frozen=True):
    """Who answers at a host."""

    vendor: str
    percent: int = 100
    """Of the listed price: what answering from one region costs more."""


HOSTS: Mapping[str, Host] = {
    "api.anthropic.com": Host("anthropic"),
    "api.cerebras.ai": Host("cerebras"),
    "api.cohere.ai": Host("cohere"),
    "api.cohere.com": Host("cohere"),
    "api.deepseek.com": Host("deepseek"),
    "api.fireworks.ai": Host("fireworks"),
    "api.groq.com": Host("groq"),
    "api.minimax.io": Host("minimax"),
    "api.mistral.ai": Host("mistral"),
    "api.moonshot.ai": Host("moonshot"),
    "api.openai.com": Host("openai"),
    "api.perplexity.ai": Host("perplexity"),
    "api.together.ai": Host("together"),
    "api.together.xyz": Host("together"),
    "api.x.ai": Host("xai"),
    "api.z.ai": Host("zai"),
    "eu.api.openai.com": Host("openai", percent=110),
    "generativelanguage.googleapis.com": Host("google"),
    "openrouter.ai": Host("openrouter"),
    "us.api.openai.com": Host("openai", percent=110),
}

SELF_HOSTED = frozenset({"vllm"})
"""Dialects that no vendor speaks, wherever they answer."""

_Rows = Mapping[str, Mapping[str, Any]]


@cache
def _known(vendor: str) -> _Rows:
    """A vendor's models by every name. Read when a table first has that vendor: few have more than three."""
    file = orjson.loads((files("proxy.facts") / "models.json").read_bytes())
    return {plain(name): row for row in file["vendors"][vendor] for name in row["names"]}


class Packaged(Struct, frozen=True):
    """What is known of one model."""

    price: Price | None
    facts: ModelFacts


NOTHING = Packaged(None, ModelFacts())


def find(dialect: str, base_url: str, model: str) -> Packaged:
    """What is known of `model` at that address; of an unknown one nothing."""
    host = HOSTS.get((urlsplit(base_url).hostname or "").lower())
    if host is None or dialect in SELF_HOSTED:
        return NOTHING
    row = next(_rows(_known(host.vendor), model), None)
    return NOTHING if row is None else Packaged(_price(row, host.percent), _facts(row))


def _rows(known: _Rows, model: str) -> Iterator[Mapping[str, Any]]:
    """What the spellings of a name lead to, nearest first."""
    return (known[name] for name in spellings(model) if name in known)


def _price(row: Mapping[str, Any], percent: int) -> Price | None:
    if "price" not in row:
        return None
    tiers = ((tokens, _tier(amounts, percent)) for tokens, *amounts in row.get("above", ()))
    plainly = _tier(row["price"], percent)
    return Price(plainly.input, plainly.output, plainly.cached, plainly.cache_write, tuple(tiers))


def _tier(amounts: list[int | None], percent: int) -> Price:
    """Input, output, and as far as they differ from input: cached, written to a cache."""
    given = [None if amount is None else -(-amount * percent // 100) for amount in amounts]
    plainly, output, cached, written = [*given, None, None][:4]
    return Price(plainly or 0, output or 0, cached, written)


def _facts(row: Mapping[str, Any]) -> ModelFacts:
    said: dict[str, Any] = {key: row[key] for key in ("context", "output") if key in row}
    said |= dict.fromkeys(row.get("can", "").split(), True)
    said |= dict.fromkeys(row.get("cannot", "").split(), False)
    if said.pop("thinking", None) is False:
        said |= {"thinking": frozenset(), "efforts": ()}
    if "efforts" in row:
        said["efforts"] = tuple(row["efforts"].split())
    return ModelFacts(**said)
