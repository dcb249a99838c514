"""What is decided about a call before anything is held or sent: its route, who may answer, what it may use.

`judge` is one pure function over the terms of a table. `book.py` begins each call's account with its
answer, and `explain.py` tells it to people, so that what is told is what is done. Whom of those who may
answer the plan then asks, and when, hangs on the health of the moment: that is `policy/plan.py`'s to say.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from proxy.call import Call
from proxy.errors import CallerFault, Failure, Refused, no_such_model
from proxy.policy import fit, matching, privacy, selection
from proxy.policy.ending import nobody_able
from proxy.policy.estimate import Estimate, estimate, unreported_bytes
from proxy.policy.meters import Asker, Meters
from proxy.policy.prompt import Prompt
from proxy.policy.selection import Candidate, PassedOver, Selection
from proxy.policy.terms import Terms
from proxy.ports import Recall
from proxy.table import OnMidstream, Route
from proxy.wire.body import called
from proxy.wire.resuming import mendable
from proxy.wire.schema import Schema, schema_of

_PAIRS = (
    ("max_completion_tokens", "max_tokens"),
    ("tools", "functions"),
    ("tool_choice", "function_call"),
    ("safety_identifier", "user"),
)
"""Members that say the same: OpenAI's name of today and the one before."""
_OTHER_NAMES: Mapping[str, str] = {**dict(_PAIRS), **{old: new for new, old in _PAIRS}}


class Judgement(Struct, frozen=True):
    """One call, judged by the terms of one table."""

    call: Call
    """Completed by what its route and its limits demand."""
    called: tuple[str, ...]
    """Ids of the tool calls in its history."""
    meters: Meters
    """The limits that may have to hold it."""
    route: Route
    asker: Asker
    """Who asks for what, as limits see it."""
    selection: Selection
    """Who may be tried, in order; nobody, where it is `refused`."""
    estimate: Estimate
    """Upper bound of what the call can use, those who may have to answer beside the first included."""
    nano_usd: int
    """What that costs at most, at the dearest candidate's price."""
    spares: int = 0
    """Answers that may be needed beside the one, to mend a broken stream, to overtake a late one or instead
    of one that is off the caller's schema. As many times as much again is held for them."""
    schema: Schema | None = None
    """What a whole answer must keep to."""
    refused: Failure | None = None
    """Why nobody may answer it; None: somebody may."""


def judge(terms: Terms, call: Call, recall: Recall) -> Judgement:
    """Match `call` to a route, and judge the route's targets for it. Raises `CallerFault` if none matches."""
    route = matching.match(terms.table, call.model)
    if route is None:
        raise no_such_model(call.model)
    meters, asker = terms.limits.upon(call.identity), Asker(call.identity, call.model, route.model)
    call = _completed(call, route, capped=meters.caps_output(asker))
    prompt = Prompt.of(call.body)
    chosen = selection.order(terms.lineups[route.model], call.preferred, fit.needs_of(call, prompt))
    refused: Failure | None = None if chosen.candidates else nobody_able(chosen.passed_over)
    if refused is None:
        try:
            permitted = privacy.permitted(terms.table.privacy.consent, chosen.candidates, given=call.consent)
        except Refused as failure:
            permitted, refused = (), failure
        if permitted is not chosen.candidates:
            chosen = _barred(chosen, permitted)
    most = estimate(call, route, prompt)
    call = _pictured(call, route, prompt) if prompt.others else call
    told = called(call.body) if prompt.others else ()
    if told:
        back = max((_recalled_bytes(recall, call, told, one) for one in chosen.candidates), default=0)
        most = replace(most, input_tokens=most.input_tokens + back)
    if mendable(call, route.on_midstream):
        anew = route.on_midstream is OnMidstream.RESTART
        call = replace(call, mends=anew or any(one.goes_on for one in chosen.candidates))
    schema: Schema | None = None
    if route.checks_answers and not call.stream:
        try:
            schema = schema_of(call.body)
        except CallerFault as fault:
            refused = refused or fault
    others = len(chosen.candidates) > 1
    spares = call.mends + (route.hedge_s is not None and call.stream and others)
    spares += schema is not None and (others or route.attempts > 1)
    if spares:
        parts = 1 + spares
        most = Estimate(parts * most.input_tokens, parts * most.output_tokens)
    worst = chosen.dearest.worst(most.input_tokens, most.output_tokens)
    return Judgement(call, told, meters, route, asker, chosen, most, worst, spares, schema, refused)


def _barred(chosen: Selection, permitted: tuple[Candidate, ...]) -> Selection:
    """Only those who may answer; the others are passed over for want of consent."""
    barred = tuple(PassedOver(one.target) for one in chosen.candidates if one not in permitted)
    return Selection(permitted, (*chosen.passed_over, *barred))


def _recalled_bytes(recall: Recall, call: Call, told: tuple[str, ...], candidate: Candidate) -> int:
    """What comes back into the prompt at one target, which the caller's bytes do not show."""
    states = recall.find(call.identity, candidate.origin, told).values()
    return sum({id(state): len(state) for state in states}.values())  # the calls of one answer share one


def _pictured(call: Call, route: Route, prompt: Prompt) -> Call:
    """`call`, whose pictures are from here on as many bytes as they may be charged as."""
    charged = unreported_bytes(call, route, prompt)
    return call if charged == call.prompt_bytes else replace(call, prompt_bytes=charged)


def _completed(call: Call, route: Route, *, capped: bool) -> Call:
    """`call` with what its route has to say, and with a maximum where a limit counts output."""
    words: dict[str, Any] = {}
    if route.defaults:
        words["body"] = _filled_in(call.body, route.defaults)
    if route.drop_params:
        words["drop_params"] = True
    if route.reasoning_field != call.reasoning_field:
        words["reasoning_field"] = route.reasoning_field
    if capped:
        words["output_cap"] = route.max_output_tokens
    return replace(call, **words) if words else call


def _filled_in(body: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`body`, and what the route says where the caller is silent, by whatever name it speaks."""
    told = {name for name, other in _OTHER_NAMES.items() if body.get(other) is not None}
    return {**{name: value for name, value in defaults.items() if name not in told}, **body}
