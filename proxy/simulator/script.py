"""The script of the simulator: which call meets which misfortune.

`server.py` reads it and asks it about each call. It holds no time and no chance of its own: both are
handed in. A wrong script raises `ConfigError` with every fault it has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from proxy.config import ConfigError, Fault

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")
GARBAGE = frozenset({"html", "empty", "json", "truncated"})
ERRORS = frozenset({"money", "rate_limit", "overload", "auth", "model"})


@dataclass(frozen=True, slots=True)
class When:
    """Which calls a rule is for; what is None does not narrow."""

    call: int | None = None
    calls: tuple[int, int] | None = None
    """First and last, counted from 1 for each upstream."""
    share: float | None = None
    after: float | None = None
    """Seconds since the simulator started."""
    before: float | None = None
    model: str | None = None
    stream: bool | None = None


@dataclass(frozen=True, slots=True)
class Do:
    """What happens to a call; nothing set: a good answer at once."""

    status: int | None = None
    error: str | None = None
    body: Any = None
    retry_after: float | None = None
    delay: float = 0.0
    first_token: float = 0.0
    chunk_delay: float = 0.0
    chunks: int | None = None
    """Length of the answer in words, for pacing."""
    cut: int | None = None
    """Close without an end after so many events."""
    cut_bytes: int | None = None
    stall: int | None = None
    """Say nothing more after so many events."""
    error_event: int | None = None
    garbage: str | None = None
    refuse: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition and what it brings."""

    when: When
    do: Do


@dataclass(frozen=True, slots=True)
class Manners:
    """One simulated upstream."""

    dialect: str
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """What a rule may ask about a call."""

    call: int
    elapsed_s: float
    chance: float
    model: str
    stream: bool


def default_dialect(name: str) -> str:
    return "vllm" if "vllm" in name else "openai"


def choose(manners: Manners, moment: Moment) -> Do:
    """The first rule that matches, or a good answer."""
    return next((rule.do for rule in manners.rules if _matches(rule.when, moment)), Do())


def _matches(when: When, moment: Moment) -> bool:
    return all(
        (
            when.call is None or when.call == moment.call,
            when.calls is None or when.calls[0] <= moment.call <= when.calls[1],
            when.share is None or moment.chance < when.share,
            when.after is None or moment.elapsed_s >= when.after,
            when.before is None or moment.elapsed_s < when.before,
            when.model is None or fnmatchcase(moment.model, when.model),
            when.stream is None or when.stream is moment.stream,
        )
    )


def load(path: Path | None) -> Mapping[str, Manners]:
    """The script at `path`, or an empty one. Raises `ConfigError`."""
    if path is None:
        return {}
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((Fault(str(path), 0, "", f"cannot be read ({error})", "name a script"),)) from error


def parse(text: str, file: str) -> Mapping[str, Manners]:
    """The script in `text`. Raises `ConfigError` with every fault."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError((Fault(file, 0, "", "is not YAML", "mend the syntax"),)) from error
    reading = _Reading(file)
    script = {
        str(name): reading.manners(str(name), value) for name, value in reading.mapping("", raw).items()
    }
    if reading.faults:
        raise ConfigError(tuple(reading.faults))
    return script


class _Reading:
    """Collects faults while the raw script becomes records."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.faults: list[Fault] = []

    def _fault(self, path: str, problem: str, remedy: str) -> None:
        self.faults.append(Fault(self._file, 0, path, problem, remedy))

    def mapping(self, path: str, raw: Any) -> dict[Any, Any]:
        if raw is None:
            return {}
        if isinstance(raw, dict):
            return raw
        self._fault(path, "is not a mapping", "write `name: value` lines")
        return {}

    def manners(self, name: str, raw: Any) -> Manners:
        if isinstance(raw, list):
            raw = {"rules": raw}
        entry = self._known(name, self.mapping(name, raw), {"dialect", "rules"})
        dialect = entry.get("dialect", default_dialect(name))
        if dialect not in ("openai", "vllm"):
            self._fault(f"{name}.dialect", "is unknown", "use openai or vllm")
        rules = entry.get("rules") or []
        if not isinstance(rules, list):
            self._fault(f"{name}.rules", "is not a list", "start each rule with `- `")
            rules = []
        return Manners(str(dialect), tuple(self._rule(f"{name}[{i}]", rule) for i, rule in enumerate(rules)))

    def _rule(self, path: str, raw: Any) -> Rule:
        rule = self._known(path, self.mapping(path, raw), {"when", "do"})
        when = self._fields(f"{path}.when", rule.get("when"), When)
        do = self._fields(f"{path}.do", rule.get("do"), Do)
        return Rule(When(**when), Do(**do))

    def _known(self, path: str, raw: dict[Any, Any], names: set[str]) -> dict[str, Any]:
        for name in raw:
            if name not in names:
                self._fault(f"{path}.{name}", "is unknown", f"use one of {', '.join(sorted(names))}")
        return {name: value for name, value in raw.items() if name in names}

    def _fields(self, path: str, raw: Any, record: type[When] | type[Do]) -> dict[str, Any]:
        known = self._known(path, self.mapping(path, raw), {field.name for field in fields(record)})
        values = {}
        for name, value in known.items():
            try:
                values[name] = READERS[name](value)
            except ValueError as error:
                self._fault(f"{path}.{name}", "has a wrong value", str(error))
        return values


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    match = DURATION.fullmatch(str(value))
    if match is None:
        raise ValueError("write a duration such as 500ms or 2s")
    return float(match[1]) * (0.001 if match[2] == "ms" else 1)


def _count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("write a whole number")


def _span(value: Any) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)-(\d+)", str(value))
    if match is None or int(match[1]) > int(match[2]):
        raise ValueError("write a range such as 3-5")
    return int(match[1]), int(match[2])


def _share(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError("write a number from 0 to 1")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("write true or false")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("write a text")


def _status(value: Any) -> int:
    if isinstance(value, int) and 200 <= value <= 599:
        return value
    raise ValueError("write a status from 200 to 599")


def _garbage(value: Any) -> str:
    if value in GARBAGE:
        return str(value)
    raise ValueError(f"use one of {', '.join(sorted(GARBAGE))}")


def _error(value: Any) -> str:
    if value in ERRORS:
        return str(value)
    raise ValueError(f"use one of {', '.join(sorted(ERRORS))}")


def _body(value: Any) -> Any:
    return value


READERS = {
    "call": _count, "calls": _span, "share": _share, "after": _seconds, "before": _seconds,
    "model": _text, "stream": _flag, "status": _status, "error": _error, "body": _body,
    "retry_after": _seconds, "delay": _seconds, "first_token": _seconds, "chunk_delay": _seconds,
    "chunks": _count, "cut": _count, "cut_bytes": _count, "stall": _count, "error_event": _count,
    "garbage": _garbage, "refuse": _flag, "reset": _flag,
}  # fmt: skip
"""How each member is read; a reader raises `ValueError` with the remedy."""
