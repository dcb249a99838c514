"""The grammar of a rehearsal's script: every key, its form, its default and its meaning.

What goes wrong is said in the simulator's own words (`simulator/script.py`), so that there is one language
of failure; this file adds when and to whom, who calls meanwhile, and what is expected. Names that must
be the table's are judged in `script.py`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, InstanceOf

from proxy.config.faults import suggest
from proxy.config.forms import Duration, ModelGlob, Name, Part, Whole
from proxy.config.units import wrong
from proxy.rehearsal import forms
from proxy.rehearsal.forms import Bound, Span
from proxy.simulator.script import Do, When

WORDS: Mapping[str, Mapping[str, Any]] = {
    "overloaded": {"error": "overload"},
    "failing": {"error": "server"},
    "rate_limited": {"error": "rate_limit"},
    "no_credit": {"error": "money"},
    "bad_key": {"error": "auth"},
    "no_model": {"error": "model"},
    "refuse_connection": {"unreachable": True},
    "reset": {"reset": True},
    "silent": {"stall": 0},
    "slow": {"first_token": "15s", "chunk_delay": "500ms"},
    "stalls": {"stall": 20},
    "cuts": {"cut": 20},
    "garbage": {"garbage": "html"},
}
"""Whole acts in one word."""

Weight = Annotated[Whole, Field(ge=1, le=forms.WEIGHT_MAX)]
Rate = Annotated[float, BeforeValidator(forms.rate)]
Share = Annotated[float, BeforeValidator(forms.share)]
Moment = Annotated[float, BeforeValidator(forms.moment)]
Tokens = Annotated[InstanceOf[Span], BeforeValidator(forms.span)]
Models = Annotated[dict[Name, Weight], BeforeValidator(forms.mix), Field(min_length=1)]
Tenants = Annotated[dict[Name, Weight], BeforeValidator(forms.tenants), Field(min_length=1)]
Globs = Annotated[list[ModelGlob], BeforeValidator(forms.names)]
Shares = Annotated[InstanceOf[Bound], BeforeValidator(forms.bound_of_share)]
Seconds = Annotated[InstanceOf[Bound], BeforeValidator(forms.bound_of_seconds)]
Money = Annotated[InstanceOf[Bound], BeforeValidator(forms.bound_of_money)]
Percentile = Literal["p50", "p90", "p95", "p99", "max"]


def _does(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in WORDS:
        raise wrong("not a word for what goes wrong", suggest(value, WORDS))
    return dict(WORDS[value])


def _said(part: BaseModel) -> str:
    """What is written in a part, with durations in seconds."""
    said = {key: getattr(part, key) for key in sorted(part.model_fields_set)}
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in said.items()
    )


class Does(Do):
    """What happens to a call, and what no server of its own can do."""

    unreachable: bool = False
    """No connection can be made."""


class LoadPart(Part):
    """Who calls, and what for."""

    calls: Rate = 2.0
    """How many come, on average."""
    lasts: Annotated[Duration, Field(alias="for")] = 120.0
    """How long new calls come."""
    streams: Share = 0.8
    """The share of calls that ask for a stream."""
    models: Models | None = None
    """What is asked for, with weights; default: every model that the table names, alike."""
    tenants: Tenants = {"rehearsal": 1}
    """Who asks, each with a key: names, names with weights, or a number."""
    users: Annotated[Whole, Field(ge=0, le=1_000_000)] = 0
    """End persons of each tenant, on whose behalf it asks; 0: nobody."""
    consent: bool | None = None
    """What calls say of an end person's consent; default: nothing."""
    prompt: Tokens = Span(200, 200)
    """Size of a prompt."""
    answer: Tokens = Span(60, 60)
    """Size of an answer."""
    reads: Rate | None = None
    """Events of a stream that a caller takes; default: all that come."""
    patience: Duration | None = None
    """Who has no first word after so long (of an answer that is not streamed: the whole) hangs up."""
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] = 1
    """Decides all that is left to chance."""


class HealthyPart(Part):
    """How an upstream answers while nothing is wrong with it."""

    round_trip: Duration = 0.05
    """Before anything is heard of it, be that an error."""
    first_token: Duration = 0.4
    """From then to the first word."""
    chunk_delay: Duration = 0.02
    """From word to word."""


class ActPart(Part):
    """What goes wrong, when, and with whom."""

    at: Moment = 0.0
    """From the beginning."""
    lasts: Annotated[Duration | None, Field(alias="for")] = None
    """How long; default: to the end."""
    upstream: Globs = ["*"]
    """Names or globs of names, as the table has them."""
    but: Globs = []
    """Those who are spared."""
    when: When = When()
    """Only some of its calls, counted and timed from where the act begins."""
    does: Annotated[Does, BeforeValidator(_does)]
    """A word, or the keys of a `do` of the simulator."""

    @property
    def told(self) -> str:
        """What goes wrong and with whom, in a few words."""
        who = ", ".join(self.upstream) + (f" but {', '.join(self.but)}" if self.but else "")
        when = f", when {_said(self.when)}" if self.when.model_fields_set else ""
        does = next((word for word, do in WORDS.items() if Does.model_validate(do) == self.does), None)
        return f"{who} {does or _said(self.does)}{when}"


class ExpectPart(Part):
    """What must be so in the end."""

    whole: Shares | None = None
    """Calls that were answered whole."""
    failed: Shares | None = None
    """Calls that got an error in place of an answer."""
    broken: Shares | None = None
    """Calls whose stream broke after its first word."""
    left: Shares | None = None
    """Calls whose callers lost patience."""
    outage: Seconds | None = None
    """Seconds in which calls came and none of them was answered whole."""
    impaired: Seconds | None = None
    """Seconds in which a call came that was not answered whole."""
    cost: Money | None = None
    """US dollars, all calls together."""
    first: dict[Percentile, Seconds] = {}
    """From a call to its first word."""
    added: dict[Percentile, Seconds] = {}
    """The part of that which went by before the one who answered was asked."""
    answered: dict[Name, Shares] = {}
    """Of all whole answers, those of each upstream."""
    never: Annotated[list[Name], BeforeValidator(forms.names)] = []
    """Codes of errors that nobody may have been told."""


class ScriptFile(Part):
    """The whole file."""

    load: LoadPart = LoadPart()
    """Who calls."""
    healthy: dict[ModelGlob, HealthyPart] = {}
    """How upstreams answer when they are well: the first name or glob that fits."""
    acts: list[ActPart] = []
    """What goes wrong; of two at once with one upstream, the first."""
    expect: ExpectPart = ExpectPart()
    """What makes it a success."""
