"""Each deployment of a LiteLLM file: an upstream, and a target there.

Deployments that share address, key, times and rates share an upstream; one that has a rate of its own has
an upstream of its own, so that the limit counts it alone. A key that stands in the file as it is never
comes further than `_Keys`, which gives it a variable's name.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from msgspec import Struct, field

from proxy.config.defaults import judged
from proxy.config.faults import Path
from proxy.config.importing import amounts
from proxy.config.importing.address import base_url
from proxy.config.importing.litellm.rules import Rules
from proxy.config.importing.litellm.sheet import UNKNOWN, Sheet, variable
from proxy.config.importing.litellm.wildcards import SPELT_OUT, WRITTEN_OUT, Entry, written_out
from proxy.config.importing.sketch import RowSketch, UpstreamSketch, is_name
from proxy.facts.litellm import BRIDGE, BRIDGED, DEFAULTS, ENDPOINTS, INFO, MODEL_INFO, PARAMS, PRICES
from proxy.facts.vendors import SHAPED, UNSPOKEN, Vendor, by_model, by_word

NO_KEY = frozenset({"", "none", "empty", "dummy", "na", "n/a"})
_UNNAMED = re.compile(r"[^A-Za-z0-9]+")
"""What of a host cannot stand in a name."""
ONE_MODEL = "a target names one model; write a route for each that callers ask for"
STAND_IN_URL = "http://stand-in.invalid/v1"
RATES: Mapping[str, str] = {"rpm": "requests", "tpm": "tokens"}
_READ = frozenset(
    {
        *("model", "api_base", "base_url", "api_key", "organization", "headers", "extra_headers"),
        *("custom_llm_provider", "timeout", "stream_timeout", "max_parallel_requests"),
        *("weight", "order", "drop_params", *RATES, *PRICES, *DEFAULTS),
    }
)


class Unfit(Exception):
    """A deployment that no table can have; the message says why."""


class Deployment(Struct, frozen=True):
    """One target of a model name."""

    model_name: str
    target: str
    order: float
    """Lower first."""
    weight: float
    defaults: Mapping[str, Any]
    drops: bool | None
    """Whether its calls may be asked for less than they ask; None: as the file has it for all."""
    path: Path


class Deployments(Struct):
    """All of them, in the order of the file."""

    sheet: Sheet
    rules: Rules
    found: list[Deployment] = field(default_factory=list)
    _named: dict[str, str] = field(default_factory=dict)
    """What an upstream is made of → its name."""
    _secrets: dict[str, str] = field(default_factory=dict)
    """Secrets that stand in the file → the variables they belong into."""
    _taken: set[str] = field(default_factory=set)
    """Variables that hold something else."""

    def read(self) -> None:
        """Enter every deployment that can be."""
        self._taken.update(self._referred())
        for index in range(len(self.sheet.document.value["model_list"])):
            path: Path = ("model_list", index)
            try:
                self._enter(path)
            except Unfit as unfit:
                self.sheet.left(path, str(unfit))

    def _enter(self, path: Path) -> None:
        inside: Path = (*path, "litellm_params")
        entry = self.sheet.section(*path)
        if not entry:
            return
        params, info = (self.sheet.section(*path, part) for part in ("litellm_params", "model_info"))
        name, mode = entry.get("model_name"), info.get("mode")
        if not is_glob(name):
            raise Unfit("model_name is missing, or no name that a route can have")
        if isinstance(mode, str) and mode in ENDPOINTS:
            raise Unfit(f"{name}: {ENDPOINTS[mode]}")
        vendor, found = self._entries(inside, name, params)
        upstream = self._upstream(path, params, vendor)
        order = self._rank(inside, params, "order", float("inf"))
        weight = self._rank(inside, params, "weight", 0.0)
        defaults, drops = self._defaults(path, params), self._drops(inside, params)
        for each in found:
            target = f"{upstream}/{each.model}"
            self._facts(path, target, params, info)
            self.found.append(Deployment(each.public, target, order, weight, defaults, drops, path))
        self._unread(path, entry, params)

    def _entries(self, path: Path, name: str, params: Mapping[str, Any]) -> tuple[Vendor | None, list[Entry]]:
        """Whose it is, and which models under which names. Raises `Unfit`."""
        vendor, model = _whose(params)
        if vendor is not None and model.startswith(BRIDGE):
            model = model.removeprefix(BRIDGE)
            self.sheet.changed((*path, "model"), BRIDGED)
        if "*" not in model:
            return vendor, [Entry(name, model)]
        elsewhere = any(params.get(key) is not None for key in ("api_base", "base_url"))
        found = () if elsewhere else written_out(name, vendor, model)
        if not found:
            raise Unfit(f"{params['model']}: {ONE_MODEL}")
        own = self._spelt_out()
        left = [each for each in found if each.public not in own]
        if not left:
            raise Unfit(f"{params['model']}: {SPELT_OUT}")
        self.sheet.changed((*path, "model"), WRITTEN_OUT)
        return vendor, left

    def _unread(self, path: Path, entry: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        """Tell of all keys that come to nothing."""
        for key in entry:
            if key not in {"model_name", "litellm_params", "model_info"}:
                self.sheet.left((*path, key), UNKNOWN)
        for key in params:
            if key not in _READ:
                self.sheet.left((*path, "litellm_params", key), PARAMS.get(key, UNKNOWN))

    def _spelt_out(self) -> set[str]:
        """Names that have deployments of their own or stand for another, so that no `*` is asked for them."""
        models = self.sheet.document.value["model_list"]
        names = (entry.get("model_name") for entry in models if isinstance(entry, dict))
        return {*self.rules.aliases, *(name for name in names if isinstance(name, str))}

    def _referred(self) -> Iterator[str]:
        """Every variable that the file reads, or LiteLLM by itself where a key is missing."""
        for entry in self.sheet.document.value["model_list"]:
            params = entry.get("litellm_params") if isinstance(entry, dict) else None
            if not isinstance(params, dict):
                continue
            headers = [
                each
                for each in (params.get("headers"), params.get("extra_headers"))
                if isinstance(each, dict)
            ]
            held = [*params.values(), *(value for each in headers for value in each.values())]
            yield from (name for name in map(variable, held) if name is not None)
            with suppress(Unfit):
                vendor, _ = _whose(params)
                if params.get("api_key") is None and vendor is not None:
                    yield vendor.key

    # ── the upstream ──────────────────────────────────────────────────────────────────────────────────

    def _upstream(self, path: Path, params: Mapping[str, Any], vendor: Vendor | None) -> str:
        """The name of the upstream that a deployment is at; a new one is entered."""
        inside: Path = (*path, "litellm_params")
        url = self._url(inside, params, vendor)
        rates = {unit: self._count(inside, params, key) for key, unit in RATES.items()}
        known: dict[str, Any] = {
            "dialect": vendor.dialect if vendor else "openai",
            "base_url": url,
            "api_key": self._key(inside, params, vendor, url),
            "headers": self._headers(inside, params, vendor),
            "streams": self._count(inside, params, "max_parallel_requests"),
            "timeouts": self.rules.timeouts | self._times(inside, params),
            "breaker": self.rules.breaker,
            "capabilities": vendor.capabilities if vendor else None,
        }
        members = {member: value for member, value in known.items() if value}
        made_of = json.dumps([members, rates])
        if made_of not in self._named:
            name = self._named[made_of] = self._fresh(vendor, url)
            self.sheet.sketch.upstreams[name] = UpstreamSketch(name, members, self.sheet.place(path))
            for unit, amount in rates.items():
                if amount is None:
                    continue
                limit = {"upstream": name, unit: amount, "every": "minute"}
                self.sheet.sketch.limits.append(RowSketch(limit, self.sheet.place(inside)))
        return self._named[made_of]

    def _count(self, path: Path, params: Mapping[str, Any], key: str) -> int | None:
        """A number of things; None, and a note, for what is none."""
        value = params.get(key)
        number = None if value is None else amounts.count(value)
        if value is not None and number is None:
            self.sheet.left((*path, key), "this is not a number above 0")
        return number

    def _drops(self, path: Path, params: Mapping[str, Any]) -> bool | None:
        value = params.get("drop_params")
        wanted = None if value is None else amounts.truth(value)
        if wanted is None and value is not None:
            self.sheet.left((*path, "drop_params"), "this is neither yes nor no")
        return wanted

    def _rank(self, path: Path, params: Mapping[str, Any], key: str, silent: float) -> float:
        """What puts a deployment before another; `silent` where nothing does."""
        value = params.get(key)
        if value is None:
            return silent
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.sheet.left((*path, key), "this is not a number")
            return silent
        return float(value)

    def _fresh(self, vendor: Vendor | None, url: str) -> str:
        """A name that no upstream has yet: the vendor's, or that of the host."""
        host = "" if url.startswith("${") else (urlsplit(url).hostname or "")
        stem = vendor.name if vendor else _UNNAMED.sub("-", host).strip("-")[:48] or "shaped"
        names = (stem, *(f"{stem}-{number}" for number in range(2, len(self._named) + 3)))
        return next(name for name in names if name not in self.sheet.sketch.upstreams)

    def _url(self, path: Path, params: Mapping[str, Any], vendor: Vendor | None) -> str:
        key = "api_base" if params.get("api_base") is not None else "base_url"
        given = params.get(key)
        if key == "api_base" and params.get("base_url") is not None:
            self.sheet.left((*path, "base_url"), "api_base is believed instead")
        if given is None:
            if vendor is None or vendor.base_url is None:
                raise Unfit("nobody says where it answers: api_base is missing")
            return vendor.base_url
        name = variable(given)
        if name is not None:
            if vendor is not None and vendor.root:
                self.sheet.changed((*path, key), f"what {name} holds must end in {vendor.root}")
            return self.sheet.sketch.reference(name, STAND_IN_URL)
        url = base_url(str(given), vendor)
        if url is None:
            raise Unfit(f"{key} is not an http address without a credential in it")
        return url

    def _key(self, path: Path, params: Mapping[str, Any], vendor: Vendor | None, url: str) -> str | None:
        given = params.get("api_key")
        if given is None:
            at_home = vendor is not None and not vendor.keyless and url == vendor.base_url
            return self.sheet.sketch.reference(vendor.key) if vendor is not None and at_home else None
        name = variable(given)
        if name is not None:
            return self.sheet.sketch.reference(name)
        if str(given).lower() in NO_KEY:
            return None
        return self._hidden((*path, "api_key"), str(given), vendor.key if vendor else "UPSTREAM_API_KEY")

    def _headers(self, path: Path, params: Mapping[str, Any], vendor: Vendor | None) -> dict[str, str]:
        """Fixed headers; what they hold is always a reference, for nobody knows which are secrets."""
        headers: dict[str, str] = {}
        if params.get("organization") is not None and vendor is not None and vendor.dialect != "openai":
            self.sheet.left((*path, "organization"), "this dialect names none")
        elif params.get("organization") is not None:
            headers["OpenAI-Organization"] = self._value(
                (*path, "organization"), params["organization"], "OPENAI"
            )
        for key in ("headers", "extra_headers"):
            if params.get(key) is None:
                continue
            stem = (vendor.name if vendor else "upstream").upper().replace("-", "_")
            for header, value in self.sheet.section(*path, key).items():
                headers[header] = self._value((*path, key, header), value, stem)
        return headers

    def _value(self, path: Path, value: Any, stem: str) -> str:
        name = variable(value)
        if name is not None:
            return self.sheet.sketch.reference(name)
        header = "".join(char if char.isascii() and char.isalnum() else "_" for char in str(path[-1]).upper())
        return self._hidden(path, str(value), f"{stem}_{header}")

    def _hidden(self, path: Path, secret: str, name: str) -> str:
        """`${NAME}` for a secret: the same one for the same, another for another."""
        taken = self._taken.union(self._secrets.values())
        names = (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3)))
        free = self._secrets.setdefault(secret, next(each for each in names if each not in taken))
        return self.sheet.sketch.secret(free, self.sheet.place(path))

    def _times(self, path: Path, params: Mapping[str, Any]) -> dict[str, str]:
        times: dict[str, str] = {}
        for key, phases in (("timeout", ("first_token", "whole")), ("stream_timeout", ("first_token",))):
            if params.get(key) is None:
                continue
            span = amounts.duration(params[key])
            if span is None:
                self.sheet.left((*path, key), "this is not a time")
            else:
                times |= dict.fromkeys(phases, span)
        return times

    # ── what is known of the model ────────────────────────────────────────────────────────────────────

    def _defaults(self, path: Path, params: Mapping[str, Any]) -> dict[str, Any]:
        defaults: dict[str, Any] = {}
        for key in sorted(DEFAULTS.intersection(params)):
            value = params[key]
            items = value if isinstance(value, list) else [value]
            here, wrong = (*path, "litellm_params", key), judged(key, value)
            if not all(isinstance(item, str | int | float) and "${" not in str(item) for item in items):
                self.sheet.left(here, "write it under `defaults` of the route")
            elif wrong is not None:
                self.sheet.left(here, f"{wrong.problem}; {wrong.remedy}")
            else:
                defaults[key] = value
        return defaults

    def _facts(self, path: Path, target: str, params: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Prices and abilities that the file knows better."""
        said = {
            **{key: info.get(key) for key in PRICES},
            **{key: params[key] for key in PRICES if key in params},
        }
        price = {PRICES[key]: amounts.per_million(value) for key, value in said.items() if value is not None}
        if price and None not in price.values() and {"input", "output"} <= price.keys():
            self._row(self.sheet.sketch.prices, target, price, path)
        elif price:
            self.sheet.left(path, "a price needs input_cost_per_token and output_cost_per_token, as numbers")
        facts: dict[str, Any] = {}
        for key in sorted(info.keys() - PRICES.keys() - INFO):
            value, here = info[key], (*path, "model_info", key)
            if key not in MODEL_INFO:
                self.sheet.left(here, UNKNOWN)
            elif isinstance(value, bool | int):
                facts[MODEL_INFO[key]] = value
            elif value is not None:
                self.sheet.left(here, "this is neither a number nor a truth")
        if facts:
            self._row(self.sheet.sketch.models, target, dict(sorted(facts.items())), path)

    def _row(self, rows: dict[str, RowSketch], target: str, members: dict[str, Any], path: Path) -> None:
        row = rows.setdefault(target, RowSketch(members, self.sheet.place(path)))
        if row.members != members:
            self.sheet.left(path, f"it says something else of {target} than {row.place} does")


def is_glob(name: Any) -> TypeGuard[str]:
    """Whether a route can have it for a model."""
    return isinstance(name, str) and is_name(name.replace("*", "x").replace("?", "x"))


def _whose(params: Mapping[str, Any]) -> tuple[Vendor | None, str]:
    """Who has the model, and its name there. Raises `Unfit`."""
    model = params.get("model")
    if not isinstance(model, str):
        raise Unfit("litellm_params.model is missing")
    prefix, slash, rest = model.partition("/")
    told = params.get("custom_llm_provider")
    if isinstance(told, str):
        prefix, rest = told, model.removeprefix(f"{told}/")
    if (slash or told) and prefix in UNSPOKEN:
        raise Unfit(f"{model}: {UNSPOKEN[prefix]}")
    vendor = by_word(prefix) if slash or told else None
    name = rest if vendor is not None or ((slash or told) and prefix in SHAPED) else model
    if vendor is None and name == model:
        vendor = by_model(model)
        if vendor is None and params.get("api_base") is None and params.get("base_url") is None:
            raise Unfit(f"{model}: nobody here is known to have it; write that upstream yourself")
    if not is_name(name.replace("*", "x")):
        raise Unfit(f"{model}: {ONE_MODEL}")
    return vendor, name
