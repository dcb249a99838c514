"""What a system's variables say, gathered upstream by upstream.

`variables.py` hands over each variable whose name is understood, and draws the sketch from what has come
together here. A value that makes no sense is told by its name alone, for it may be a secret.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

from proxy.config.importing import amounts
from proxy.config.importing.address import base_url
from proxy.config.importing.dotenv import Variables
from proxy.config.importing.names import LimitReading, Reading
from proxy.config.importing.sketch import Sketch, is_name
from proxy.facts.variables import SAYS, Says
from proxy.facts.vendors import VENDORS, Vendor, by_model, by_word


class Side(Struct):
    """What is said of one upstream."""

    members: dict[str, Any] = field(default_factory=dict)
    timeouts: dict[str, str] = field(default_factory=dict)
    breaker: dict[str, Any] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    """By purpose; its own model under ``."""
    key: str | None = None
    place: str = ""
    said: dict[tuple[Says, str], str] = field(default_factory=dict)
    """Which variable said it."""


class House(Struct):
    """What is said, gathered."""

    variables: Variables
    sketch: Sketch
    sides: dict[str, Side] = field(default_factory=dict)
    """By the vendor's name; what is said of everybody under ``."""
    first: list[Vendor] = field(default_factory=list)
    ordered: list[Vendor] = field(default_factory=list)
    later: dict[int, Vendor] = field(default_factory=dict)
    route: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    limits: list[tuple[str, LimitReading]] = field(default_factory=list)
    marks: list[int] | None = None

    def side(self, vendor: Vendor | None) -> Side:
        return self.sides.setdefault("" if vendor is None else vendor.name, Side())

    def order(self) -> list[Vendor]:
        """Who is asked, in turn; those that anything is said of, where no order is."""
        said = [*self.first, *self.ordered, *(vendor for _, vendor in sorted(self.later.items()))]
        said = said or [each for each in VENDORS if each.name in self.sides and self._is_there(each)]
        return list({each.name: each for each in said}.values())

    def _is_there(self, vendor: Vendor) -> bool:
        side = self.sides[vendor.name]
        return side.key is not None or "base_url" in side.members or bool(side.models)


def enter(house: House, name: str, reading: Reading) -> None:
    """Enter one variable; its value may be wrong, which is told."""
    value = house.variables.values[name].strip()
    whose = _whose(house, name, reading)
    if isinstance(whose, str):
        house.sketch.left(house.variables.place(name), whose)
        return
    side, place = house.side(whose), house.variables.place(name)
    subject = (reading.says, _purpose(reading))
    if subject in side.said:
        house.sketch.left(place, f"{side.said[subject]} says so already")
        return
    problem = _SAID[reading.says](Statement(house, side, name, value, whose, _purpose(reading)))
    if problem is not None:
        house.sketch.left(place, problem)
        return
    side.said[subject] = name
    side.place = side.place or place
    if reading.says in _THE_HOUSES and (reading.vendor is not None or reading.place):
        house.sketch.changed(place, "it holds for every target, not for one vendor's alone")


_EVERYBODYS = frozenset(
    {Says.ANSWER, Says.CONNECT, Says.FIRST, Says.TOTAL, Says.FAILURES, Says.OPEN, Says.STREAMS}
)
_THE_HOUSES = frozenset(
    {Says.RETRIES, Says.MAX_TOKENS, Says.DEFAULT, Says.RETENTION, Says.CONSENT, Says.MARKS, Says.WEBHOOK}
)


def _whose(house: House, name: str, reading: Reading) -> Vendor | str | None:
    """Of whom a variable speaks; None: of everybody; or why that cannot be told."""
    if reading.says in _THE_HOUSES:
        return None
    if reading.vendor is not None:
        return reading.vendor
    if reading.place is None and reading.says in _EVERYBODYS:
        return None
    order, at = house.order(), reading.place or 0
    if at < len(order):
        value = house.variables.values[name].strip()
        owner = by_model(value) if reading.says is Says.MODEL and reading.place is None else None
        return owner if owner in order else order[at]
    if at == 0 and not order:
        return by_model(house.variables.values[name].strip()) or by_word("openai")
    return "nobody says which vendor that is; write AI_PROVIDER_ORDER, with each by name"


class Statement(Struct, frozen=True):
    """One variable with what it is about."""

    house: House
    side: Side
    name: str
    value: str
    vendor: Vendor | None
    what: str


def _key(said: Statement) -> str | None:
    said.side.key = said.name
    return None


def _url(said: Statement) -> str | None:
    url = base_url(said.value, said.vendor)
    if url is None:
        return "this is not an http address without a credential in it; write base_url yourself"
    said.side.members["base_url"] = url
    return None


def _model(said: Statement) -> str | None:
    if not is_name(said.value):
        return "this is no name that a target can have"
    said.side.models[said.what] = said.value
    return None


def _purpose(reading: Reading) -> str:
    """What a model or a default is for; many names say the one of an upstream's own model."""
    if reading.says is Says.DEFAULT:
        return reading.what
    return "" if reading.says is not Says.MODEL or reading.what.upper() in SAYS else reading.what


def _timeout(*phases: str) -> Callable[[Statement], str | None]:
    def noted(said: Statement) -> str | None:
        span = amounts.duration(said.value, milliseconds=said.name.endswith("_MS"))
        if span is None:
            return "this is not a time"
        guessed = said.value.isdigit() and int(said.value) >= amounts.MANY_SECONDS
        if guessed and not said.name.endswith("_MS"):
            said.house.sketch.changed(said.house.variables.place(said.name), f"read as milliseconds: {span}")
        if len(phases) == 1:
            said.side.timeouts[phases[0]] = span
        else:  # what is said of one phase alone is believed before it
            said.side.timeouts = dict.fromkeys(phases, span) | said.side.timeouts
        return None

    return noted


def _failures(said: Statement) -> str | None:
    number = amounts.count(said.value)
    if number is not None:
        said.side.breaker["failures"] = number
    return None if number is not None else "this is not a number above 0"


def _open(said: Statement) -> str | None:
    span = amounts.duration(said.value, milliseconds=said.name.endswith("_MS"))
    if span is not None:
        said.side.breaker["open"] = span
    return None if span is not None else "this is not a time"


def _streams(said: Statement) -> str | None:
    number = amounts.count(said.value)
    if number is not None:
        said.side.members["streams"] = number
    return None if number is not None else "this is not a number above 0"


def _organization(said: Statement) -> str | None:
    said.side.members["headers"] = {"OpenAI-Organization": said.house.sketch.reference(said.name)}
    return None


def _retries(said: Statement) -> str | None:
    number = 0 if said.value == "0" else amounts.count(said.value)
    if number is None:
        return "this is not a number"
    said.house.route["retry"] = {"attempts": min(number + 1, 10)}
    if number >= 10:
        said.house.sketch.changed(said.house.variables.place(said.name), "at most 10 tries at one target")
    return None


def _max_tokens(said: Statement) -> str | None:
    number = amounts.count(said.value)
    if number is None:
        return "this is not a number above 0"
    said.house.route["max_output_tokens"] = number
    place, why = said.house.variables.place(said.name), "held, and sent upstream, where a limit counts tokens"
    said.house.sketch.changed(place, f"{why} and the caller names no maximum of its own")
    return None


def _default(said: Statement) -> str | None:
    number = amounts.number(said.value)
    if number is None:
        return "this is not a number"
    said.house.defaults[said.what] = number
    return None


def _retention(said: Statement) -> str | None:
    days = amounts.count(said.value)
    if days is not None:
        said.house.sketch.privacy["retention"] = f"{days}d"
        said.house.sketch.places["privacy.retention"] = said.house.variables.place(said.name)
    return None if days is not None else "this is not a number of days"


def _consent(said: Statement) -> str | None:
    required = amounts.truth(said.value)
    if required:
        said.house.sketch.privacy["consent"] = "required"
        place = said.house.variables.place(said.name)
        said.house.sketch.changed(place, "a call says x-user-consent: true itself, or is refused with 403")
    return None if required is not None else "this is neither yes nor no"


def _marks(said: Statement) -> str | None:
    said.house.marks = amounts.marks(said.value)
    return None if said.house.marks else "this is not a percentage"


def _webhook(said: Statement) -> str | None:
    name = said.name
    said.house.sketch.variables[name] = "https://stand-in.invalid/hook"
    said.house.sketch.alerts["webhook"] = f"${{{name}:-}}"
    said.house.sketch.places["alerts.webhook"] = said.house.variables.place(name)
    return None


_SAID: Mapping[Says, Callable[[Statement], str | None]] = {
    Says.KEY: _key,
    Says.URL: _url,
    Says.MODEL: _model,
    Says.CONNECT: _timeout("connect"),
    Says.FIRST: _timeout("first_token"),
    Says.ANSWER: _timeout("first_token", "whole"),
    Says.TOTAL: _timeout("total"),
    Says.FAILURES: _failures,
    Says.OPEN: _open,
    Says.STREAMS: _streams,
    Says.ORGANIZATION: _organization,
    Says.RETRIES: _retries,
    Says.MAX_TOKENS: _max_tokens,
    Says.DEFAULT: _default,
    Says.RETENTION: _retention,
    Says.CONSENT: _consent,
    Says.MARKS: _marks,
    Says.WEBHOOK: _webhook,
}
