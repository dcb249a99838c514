"""The script by which simulated upstreams misbehave.

    openai:                               # an upstream's name; `simulated-` is left out
      - when: {calls: 3-5}                # the first rule that matches a call decides
        do: {error: overload, retry_after: 2s}
      - when: {share: 0.2, stream: true}
        do: {cut: 5}
    vllm:
      dialect: vllm                       # only needed where the name does not hold "vllm", and is not
                                          # that of the server itself: deepseek, mistral, ollama
      load: {waiting: 20}                 # what its /metrics says: running, waiting, cache; or status: 503
      rules: []

Parsing, and the pure choice of a rule for a call. Files are read in `server.py`.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from proxy.config.expand import Expander
from proxy.config.faults import dotted
from proxy.config.source import Document, read
from proxy.config.units import duration
from proxy.policy.matching import fits
from proxy.simulator.fault import ScriptFault

Seconds = Annotated[float, BeforeValidator(duration)]
Word = Literal["rate_limit", "overload", "money", "auth", "model", "server", "context"]


SHAPED_NAMES = frozenset({"deepseek", "mistral", "ollama"})
"""Upstreams that are played as strictly as the servers whose names they have."""


class _Strict(BaseModel):
    """Unknown keys are faults, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class When(_Strict):
    """Which calls of an upstream a rule is for; all that is given must hold."""

    call: int | None = Field(default=None, ge=1)
    """The n-th call, counted from 1."""
    calls: str | None = Field(default=None, pattern=r"^\d+-\d*$")
    """From-to, both included; `5-` is open."""
    share: float | None = Field(default=None, gt=0, le=1)
    """Evenly spread, so that of any hundred calls this share is hit."""
    after: Seconds | None = None
    """Since the script came into force."""
    before: Seconds | None = None
    model: str | None = None
    """Exact or a glob."""
    stream: bool | None = None

    @model_validator(mode="after")
    def _can_hold(self) -> Self:
        first, last = self.span
        if first > last:
            raise ValueError("no call is in this range")
        if self.after is not None and self.before is not None and self.after >= self.before:
            raise ValueError("no time is after and before these")
        return self

    @property
    def span(self) -> tuple[int, float]:
        """The first and the last call that `call` and `calls` together allow."""
        start, _, end = (self.calls or "1-").partition("-")
        first, last = int(start), int(end) if end else float("inf")
        return (first, last) if self.call is None else (max(first, self.call), min(last, self.call))


class Do(_Strict):
    """What happens to a call; everything left out is as healthy."""

    status: int | None = Field(default=None, ge=300, le=599)
    error: Word | None = None
    """An error in the vendor's own shape; brings its usual status along unless `status` is given."""
    retry_after: Seconds | None = None
    delay: Seconds | None = None
    """Before anything is answered."""
    first_token: Seconds | None = None
    """Before the first token (vLLM's status line comes at once all the same)."""
    chunk_delay: Seconds | None = None
    """Before every further event of a stream."""
    keep_alive: Seconds | None = None
    """While a stream is silent, a comment so often, as vLLM sends."""
    tokens: int | None = Field(default=None, ge=1, le=100_000)
    """Length of the answer; JSON, and so the arguments of a call, is filled up with blanks."""
    cut: int | None = Field(default=None, ge=0)
    """Break the connection after so many events (a whole answer: in its middle)."""
    stall: int | None = Field(default=None, ge=0)
    """Say nothing more after so many events."""
    error_event: int | None = Field(default=None, ge=0)
    """An error event after so many (vLLM follows it with `[DONE]`)."""
    garbage: Literal["html", "empty", "json", "truncated"] | None = None
    """A success status with something else inside."""
    no_done: bool = False
    """A stream that ends without `[DONE]`."""
    reset: bool = False
    """Break the connection instead of answering."""
    prose: bool = False
    """An answer in plain words, whatever form was asked for."""
    refuse: bool = False
    """An answer in which the model refuses, in the vendor's way."""


class Rule(_Strict):
    """One line of a script."""

    when: When = When()
    do: Do = Do()


class Busy(_Strict):
    """What an engine says of its load."""

    running: int | None = Field(default=None, ge=0)
    """Left out: as many as are being played."""
    waiting: int = Field(default=0, ge=0)
    cache: float = Field(default=0.0, ge=0, le=1)
    status: int | None = Field(default=None, ge=300, le=599)
    """It says nothing, but answers with this."""


class Part(_Strict):
    """One simulated upstream's part."""

    dialect: Literal["openai", "vllm", "deepseek", "mistral", "ollama"] | None = None
    load: Busy = Busy()
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _bare_list(cls, value: Any) -> Any:
        return {"rules": value} if isinstance(value, list) else value


class Script(_Strict):
    """Everybody's part, by upstream name."""

    parts: Mapping[str, Part] = {}

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises `ScriptFault`."""
        document = read("script", data, Expander({}))
        faults = [(fault.line, fault.path, fault.problem) for fault in document.faults]
        faults += [
            (document.line(path), dotted(path), "a script knows no variables") for path in document.unset
        ]
        if not faults and not isinstance(document.value, dict | None):
            faults = [(1, "", "write upstream names, each with its rules")]
        if not faults:
            try:
                return cls(parts=document.value or {})
            except ValidationError as error:
                faults = [_fault(document, fault["loc"][1:], fault["msg"]) for fault in error.errors()]
        raise ScriptFault("; ".join(_told(*fault) for fault in sorted(faults)))

    def dialect(self, name: str) -> str:
        """How the upstream `name` speaks."""
        told = self.parts[name].dialect if name in self.parts else None
        if told is not None:
            return told
        return name if name in SHAPED_NAMES else "vllm" if "vllm" in name else "openai"

    def load(self, name: str) -> Busy | None:
        """What the upstream `name` says of its load; None: its kind says nothing."""
        if self.dialect(name) != "vllm":
            return None
        return self.parts[name].load if name in self.parts else Busy()

    def act(self, name: str, scene: "Scene") -> Do:
        """What happens to the call of `scene`."""
        rules = self.parts[name].rules if name in self.parts else ()
        return next((rule.do for rule in rules if matches(rule.when, scene)), HEALTHY)


def _fault(document: Document, place: tuple[str | int, ...], problem: str) -> tuple[int, str, str]:
    """A fault where the file says it: a bare list of rules has no `rules` above it."""
    if place and isinstance(document.value[place[0]], list):
        place = (place[0], *place[2:])
    return document.line(place), dotted(place), problem


def _told(line: int, place: str, problem: str) -> str:
    """Without a line where the whole file is at fault."""
    return ": ".join(part for part in (f"line {line}" if line else "", place, problem) if part)


HEALTHY = Do()


class Scene(_Strict):
    """One call as rules see it."""

    number: int
    """Counts the upstream's calls from 1."""
    elapsed_s: float
    model: str
    stream: bool


def matches(when: When, scene: Scene) -> bool:
    first, last = when.span
    number = scene.number
    return (
        first <= number <= last
        and (when.share is None or _hit(number, Fraction(str(when.share))))
        and (when.after is None or scene.elapsed_s >= when.after)
        and (when.before is None or scene.elapsed_s < when.before)
        and (when.model is None or fits(when.model, scene.model))
        and (when.stream is None or when.stream is scene.stream)
    )


def _hit(number: int, share: Fraction) -> bool:
    return number * share // 1 > (number - 1) * share // 1
