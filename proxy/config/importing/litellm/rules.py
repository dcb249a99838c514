"""What a LiteLLM file says of everything: router, proxy and library settings.

Read before its deployments, for it says how long each may take and when it is given up. Keys that have a
counterpart have a function in one of the registers below; why others have none `proxy/facts/litellm.py` says.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

from proxy.config.faults import Path
from proxy.config.importing import amounts
from proxy.config.importing.litellm.sheet import UNKNOWN, Sheet
from proxy.config.importing.sketch import RowSketch
from proxy.facts.litellm import GENERAL, HIDDEN, LITELLM, ROUTER, SECTIONS, WINDOWS

ATTEMPTS_MAX = 10


class Fallback(Struct, frozen=True):
    """A model name and those that stand in for it."""

    model: str
    """`*` for every one."""
    others: tuple[str, ...]
    path: Path


class Rules(Struct):
    """What holds for all deployments and routes."""

    sheet: Sheet
    timeouts: dict[str, str] = field(default_factory=dict)
    breaker: dict[str, Any] = field(default_factory=dict)
    route: dict[str, Any] = field(default_factory=dict)
    """Members of every route."""
    fallbacks: list[Fallback] = field(default_factory=list)
    aliases: dict[str, tuple[str, Path]] = field(default_factory=dict)
    budgets: dict[str, tuple[RowSketch, Path]] = field(default_factory=dict)
    """By what LiteLLM calls the vendor."""

    @classmethod
    def read(cls, sheet: Sheet) -> "Rules":
        """All sections but the deployments."""
        rules = cls(sheet)
        for name, (functions, reasons) in _SECTIONS.items():
            rules._section(name, functions, reasons)
        for name in sheet.document.value:
            if name not in _SECTIONS and name != "model_list":
                sheet.left((name,), SECTIONS.get(name, UNKNOWN))
        return rules

    def _section(self, name: str, functions: "_Functions", reasons: Mapping[str, str]) -> None:
        section = self.sheet.section(name)
        believed = self.sheet.section("router_settings") if name == "litellm_settings" else {}
        for key, value in section.items():
            path: Path = (name, key)
            if value is None:
                continue
            if believed.get(_INSTEAD.get(key, "")) is not None:
                self.sheet.left(path, f"router_settings.{_INSTEAD[key]} is believed instead")
            elif key not in functions:
                self.sheet.left(path, reasons.get(key, UNKNOWN))
            elif (problem := functions[key](self, path, value)) is not None:
                self.sheet.left(path, problem)
        if "max_budget" in section and name == "litellm_settings":
            self._budget(section)

    def _budget(self, section: Mapping[str, Any]) -> None:
        """One ceiling for the whole house, if it says for how long."""
        path: Path = ("litellm_settings", "max_budget")
        row = _dollars(section["max_budget"], section.get("budget_duration"))
        if isinstance(row, str):
            self.sheet.left(path, row)
            return
        row.place = self.sheet.place(path)
        self.sheet.sketch.limits.append(row)
        self.sheet.changed(
            path, f"it holds for a calendar {row.members['every']}, not for a time since the first call"
        )


_Function = Callable[[Rules, Path, Any], str | None]
"""Enters one value; gives what is wrong with it, or None."""
_Functions = Mapping[str, _Function]


def _dollars(amount: Any, window: Any) -> RowSketch | str:
    """A limit in dollars, or why there is none."""
    usd, every = amounts.dollars(amount), WINDOWS.get(str(window))
    if usd is None:
        return "this is not an amount of dollars"
    if every is None:
        return "its window is none of minute, hour, day, week or month; write a limit with usd: and every:"
    return RowSketch({"usd": usd, "every": every}, "")


def _timeout(*phases: str) -> _Function:
    def enter(rules: Rules, _path: Path, value: Any) -> str | None:
        span = amounts.duration(value)
        if span is None:
            return "this is not a time"
        rules.timeouts |= dict.fromkeys(phases, span)
        return None

    return enter


def _retries(rules: Rules, path: Path, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return "this is not a number of retries"
    rules.route["retry"] = {"attempts": min(value + 1, ATTEMPTS_MAX)}
    rules.sheet.changed(
        path, "tries at one target, at most 10, before the next, and only where that can help"
    )
    return None


def _fails(rules: Rules, path: Path, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return "this is not a number of failures"
    rules.breaker["failures"] = value + 1
    rules.sheet.changed(path, "failures in a row, not in a minute, open a breaker")
    return None


def _cooldown(rules: Rules, _path: Path, value: Any) -> str | None:
    span = amounts.duration(value)
    if span is None:
        return "this is not a time"
    rules.breaker["open"] = span
    return None


def _fallbacks(rules: Rules, path: Path, value: Any) -> str | None:
    if not isinstance(value, list):
        return "this is not a list"
    for index, each in enumerate(value):
        here: Path = (*path, index)
        if not isinstance(each, dict):
            rules.sheet.left(here, "this is not a mapping of a model to others")
            continue
        for model, others in each.items():
            names = others if isinstance(others, list) else [others]
            known = tuple(name for name in names if isinstance(name, str))
            if len(known) < len(names):
                rules.sheet.left((*here, model), "a fallback with settings of its own; write a target for it")
            rules.fallbacks.append(Fallback(model, known, (*here, model)))
    return None


def _context_fallbacks(rules: Rules, path: Path, value: Any) -> str | None:
    rules.sheet.changed(
        path, "these are further targets: whatever fails, not a long prompt alone, goes on to them"
    )
    return _fallbacks(rules, path, value)


def _default_fallbacks(rules: Rules, path: Path, value: Any) -> str | None:
    if not isinstance(value, list):
        return "this is not a list"
    rules.fallbacks.append(Fallback("*", tuple(map(str, value)), path))
    return None


def _aliases(rules: Rules, path: Path, value: Any) -> str | None:
    if not isinstance(value, dict):
        return "this is not a mapping"
    for alias, model in value.items():
        here: Path = (*path, alias)
        named = model.get("model") if isinstance(model, dict) else model
        if isinstance(named, str):
            rules.aliases[alias] = (named, here)
            _beside_alias(rules, here, model if isinstance(model, dict) else {})
        else:
            rules.sheet.left(here, "it names no model")
    return None


def _beside_alias(rules: Rules, path: Path, alias: Mapping[str, Any]) -> None:
    """What an alias says besides its model."""
    for key, value in alias.items():
        if key == "hidden" and amounts.truth(value) is not False:
            rules.sheet.left((*path, key), HIDDEN)
        elif key not in {"model", "hidden"}:
            rules.sheet.left((*path, key), UNKNOWN)


def _provider_budgets(rules: Rules, path: Path, value: Any) -> str | None:
    if not isinstance(value, dict):
        return "this is not a mapping"
    for vendor, budget in value.items():
        here: Path = (*path, vendor)
        part = budget if isinstance(budget, dict) else {}
        window = part.get("time_period", part.get("budget_duration"))
        row = _dollars(part.get("budget_limit", part.get("max_budget")), window)
        if isinstance(row, str):
            rules.sheet.left(here, row)
        else:
            rules.budgets[vendor] = (row, here)
    return None


def _drop(rules: Rules, _path: Path, value: Any) -> str | None:
    wanted = amounts.truth(value)
    if wanted:
        rules.route["drop_params"] = True
    return None if wanted is not None else "this is neither yes nor no"


def _alerting(rules: Rules, path: Path, value: Any) -> str | None:
    if "slack" not in str(value):
        return "alerts go to log, metric, ledger and one webhook: write alerts.webhook"
    rules.sheet.sketch.variables["SLACK_WEBHOOK_URL"] = "https://stand-in.invalid/hook"
    rules.sheet.sketch.alerts["webhook"] = "${SLACK_WEBHOOK_URL:-}"
    rules.sheet.changed(path, "alerts are told of limits alone; slowness and failures are in /metrics")
    return None


def _max_calls(rules: Rules, path: Path, value: Any) -> str | None:
    number = amounts.count(value)
    if number is not None:
        rules.sheet.sketch.settings["max_calls"] = number
        rules.sheet.sketch.places["settings.max_calls"] = rules.sheet.place(path)
    return None if number is not None else "this is not a number above 0"


def _streams_per_key(rules: Rules, path: Path, value: Any) -> str | None:
    number = amounts.count(value)
    if number is None:
        return "this is not a number above 0"
    rules.sheet.sketch.limits.append(RowSketch({"per": "key", "streams": number}, rules.sheet.place(path)))
    return None


def _retention(rules: Rules, path: Path, value: Any) -> str | None:
    span = amounts.duration(value)
    if span is not None:
        rules.sheet.sketch.privacy["retention"] = span
        rules.sheet.sketch.places["privacy.retention"] = rules.sheet.place(path)
    return None if span is not None else "this is not a time"


def _with_another(_rules: Rules, _path: Path, _value: Any) -> str | None:
    """Read together with its neighbour."""
    return None


_INSTEAD: Mapping[str, str] = {
    "num_retries": "num_retries",
    "allowed_fails": "allowed_fails",
    "cooldown_time": "cooldown_time",
    "request_timeout": "timeout",
}
"""Keys of `litellm_settings` that the router's own go before."""

_BOTH: Mapping[str, _Function] = {
    "num_retries": _retries,
    "allowed_fails": _fails,
    "cooldown_time": _cooldown,
    "fallbacks": _fallbacks,
    "context_window_fallbacks": _context_fallbacks,
    "default_fallbacks": _default_fallbacks,
}
_SECTIONS: Mapping[str, tuple[_Functions, Mapping[str, str]]] = {
    "litellm_settings": (
        {
            **_BOTH,
            "request_timeout": _timeout("first_token", "whole"),
            "drop_params": _drop,
            "max_budget": _with_another,
            "budget_duration": _with_another,
        },
        LITELLM,
    ),
    "router_settings": (
        {
            **_BOTH,
            "timeout": _timeout("first_token", "whole"),
            "stream_timeout": _timeout("first_token"),
            "model_group_alias": _aliases,
            "provider_budget_config": _provider_budgets,
        },
        ROUTER,
    ),
    "general_settings": (
        {
            "alerting": _alerting,
            "global_max_parallel_requests": _max_calls,
            "max_parallel_requests": _streams_per_key,
            "maximum_spend_logs_retention_period": _retention,
        },
        GENERAL,
    ),
}
