"""No file: a document made of environment variables alone.

Called by `load` when it is given no path. The result goes through the same judgement as a file, and
its faults name the variable instead of a line. What can be switched on is data in
`proxy/facts/environment.py`. A route is made for each well-known model: the upstream that has it
comes first, the others follow in order and answer with their default model; any other name asked
for is answered by the default models alone. Nothing here reads `os.environ`: it is handed in.
"""

from collections.abc import Mapping
from typing import Any

from proxy.config.faults import plain, suggest
from proxy.config.source import Document
from proxy.facts.environment import ENVIRONMENT, KnownUpstream

FILE = "environment"
ORDER = "FALLTHROUGH_ORDER"

SETTINGS: Mapping[str, str] = {
    "listen": "FALLTHROUGH_LISTEN",
    "admin": "FALLTHROUGH_ADMIN",
    "probes": "FALLTHROUGH_PROBES",
    "ledger": "FALLTHROUGH_LEDGER",
    "simulator": "FALLTHROUGH_SIMULATOR",
    "auth": "FALLTHROUGH_AUTH",
    "drain": "FALLTHROUGH_DRAIN",
    "max_calls": "FALLTHROUGH_MAX_CALLS",
    "max_lag": "FALLTHROUGH_MAX_LAG",
}
"""Each key of `settings`, and its variable."""


def describe(environ: Mapping[str, str]) -> Document:
    """The document that the variables amount to, or the faults of them."""
    document = Document(FILE)
    settings = {key: environ[name] for key, name in SETTINGS.items() if environ.get(name)}
    on = [known for known in _ordered(document, environ) if environ.get(known.switch)]
    if not on and settings.get("simulator") == "auto":
        on = [known for known in ENVIRONMENT if known.name in {"openai", "vllm"}]
    if not on:
        switches = ", ".join(known.switch for known in ENVIRONMENT)
        document.fault(
            (), "no upstream is on, and there is no file", f"set one of {switches}, or give --config FILE"
        )
        document.faulted.add(("routes", 0, "targets"))
    document.names.update({("settings", key): name for key, name in SETTINGS.items()})
    document.value = {
        "settings": settings,
        "upstreams": {known.name: _upstream(document, known, environ) for known in ENVIRONMENT},
        "routes": _routes(on, environ),
    }
    return document


def _ordered(document: Document, environ: Mapping[str, str]) -> list[KnownUpstream]:
    """All known upstreams: first as the variable orders them, then the rest."""
    known = {item.name: item for item in ENVIRONMENT}
    words = [word.strip() for word in environ.get(ORDER, "").split(",")]
    document.names[ORDER,] = ORDER
    for word in words:
        if word and word not in known:
            document.fault((ORDER,), f"no upstream is named `{plain(word)}`", suggest(word, known))
    first = [known[word] for word in dict.fromkeys(words) if word in known]
    return first + [item for item in ENVIRONMENT if item not in first]


def _upstream(document: Document, known: KnownUpstream, environ: Mapping[str, str]) -> dict[str, Any]:
    here = ("upstreams", known.name)
    switch = "base_url" if known.base_url is None else "api_key"
    value = environ.get(known.switch) or None
    if value is None:
        document.unset[(*here, switch)] = known.switch
    document.names[(*here, switch)] = known.switch
    part: dict[str, Any] = {"dialect": known.dialect, "base_url": known.base_url, switch: value}
    if known.key is not None:
        document.names[(*here, "api_key")] = known.key
        part["api_key"] = environ.get(known.key) or None
    return part


def _routes(on: list[KnownUpstream], environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """A route for each model that an upstream has by name, and one for any other name."""
    defaults = {known.name: environ.get(known.model_variable) or known.default_model for known in on}
    routes: list[dict[str, Any]] = []
    taken: set[str] = set()
    for known in on:
        others = [f"{other.name}/{defaults[other.name]}" for other in on if other is not known]
        for model in dict.fromkeys((defaults[known.name], *known.models)):
            if model not in taken:
                taken.add(model)
                routes.append({"model": model, "targets": [f"{known.name}/{model}", *others]})
    routes.append({"model": "*", "targets": [f"{name}/{model}" for name, model in defaults.items()]})
    return routes
