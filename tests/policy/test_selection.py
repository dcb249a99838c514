"""The order of targets, who is passed over, and whose timeouts hold."""

import pytest

from proxy.abilities import ModelFacts
from proxy.policy.fit import Ability, Need, Needs
from proxy.policy.selection import Lineup, order
from proxy.table import Route, Table, Target, Timeouts, Upstream
from proxy.usage import Price

TABLE = Table(
    {name: Upstream(name, "openai", f"http://{name}") for name in ("openai", "vllm")},
    (),
)
TARGETS = (Target("openai", "gpt-4o"), Target("openai", "gpt-4o-mini"), Target("vllm", "mixtral"))


@pytest.mark.parametrize(
    ("preferred", "expected"),
    [
        (None, ["openai/gpt-4o", "openai/gpt-4o-mini", "vllm/mixtral"]),
        ("vllm", ["vllm/mixtral", "openai/gpt-4o", "openai/gpt-4o-mini"]),
        ("openai", ["openai/gpt-4o", "openai/gpt-4o-mini", "vllm/mixtral"]),
        ("/gpt-4o-mini", ["openai/gpt-4o-mini", "openai/gpt-4o", "vllm/mixtral"]),
        ("openai/gpt-4o-mini", ["openai/gpt-4o-mini", "openai/gpt-4o", "vllm/mixtral"]),
        ("vllm/gpt-4o-mini", ["vllm/mixtral", "openai/gpt-4o-mini", "openai/gpt-4o"]),
        ("/unheard-of", ["openai/gpt-4o", "openai/gpt-4o-mini", "vllm/mixtral"]),
        ("unheard-of/mixtral", ["vllm/mixtral", "openai/gpt-4o", "openai/gpt-4o-mini"]),
        ("unheard-of", ["openai/gpt-4o", "openai/gpt-4o-mini", "vllm/mixtral"]),
    ],
)
def test_listed_order_but_the_preferred_upstream_first(preferred, expected):
    found = order(Lineup.of(TABLE, Route("chat", TARGETS)), preferred, Needs()).candidates
    assert [str(one.target) for one in found] == expected
    assert [one.upstream.name for one in found] == [one.target.upstream for one in found]


def test_a_route_narrows_timeouts_and_never_widens_them():
    route = Route("chat", TARGETS[:1], timeouts={"first_token_s": 5.0, "total_s": 9999.0})
    (found,) = order(Lineup.of(TABLE, route), None, Needs()).candidates
    assert found.timeouts == Timeouts(first_token_s=5.0)


TWO_ANSWERS = Need(Ability.CHOICES, "n")
A_PICTURE = Need(Ability.VISION, "messages[0].content[1]")
BLIND = Target("openai", "blind", facts=ModelFacts(vision=False))
SINGLE = Target("openai", "single", facts=ModelFacts(choices=False))
NEITHER = Target("vllm", "neither", facts=ModelFacts(vision=False, choices=False))
ANY = Target("vllm", "any")


def chosen(needs, *, drop_params=False, preferred=None):
    """Who is tried, with what is dropped there; who is passed over, and why."""
    route = Route("chat", (BLIND, SINGLE, NEITHER, ANY), drop_params=drop_params)
    found = order(Lineup.of(TABLE, route), preferred, needs)
    tried = {one.target.model: [lack.param for lack in one.lacks] for one in found.candidates}
    return tried, [str(one) for one in found.passed_over]


def test_a_target_that_certainly_cannot_is_passed_over_with_its_reasons():
    assert chosen(Needs((TWO_ANSWERS, A_PICTURE))) == (
        {"any": []},
        [
            "openai/blind (sees no pictures)",
            "openai/single (gives one answer at a time)",
            "vllm/neither (gives one answer at a time, sees no pictures)",
        ],
    )


def test_a_route_that_drops_parameters_still_drops_no_content():
    assert chosen(Needs((TWO_ANSWERS, A_PICTURE)), drop_params=True) == (
        {"single": ["n"], "any": []},
        ["openai/blind (sees no pictures)", "vllm/neither (sees no pictures)"],
    )


def test_the_order_of_those_who_can_is_the_tables():
    assert chosen(Needs((TWO_ANSWERS,)), drop_params=True, preferred="vllm") == (
        {"neither": ["n"], "any": [], "blind": [], "single": ["n"]},
        [],
    )
    assert list(chosen(Needs((TWO_ANSWERS,)), drop_params=True)[0]) == ["blind", "single", "neither", "any"]


def test_the_preferred_upstream_is_passed_over_like_any_other():
    assert list(chosen(Needs((A_PICTURE,)), preferred="openai")[0]) == ["single", "any"]


def test_a_prompt_too_long_for_one_target_passes_over_that_one_alone():
    small = Target("openai", "small", facts=ModelFacts(context=1_000))
    lineup = Lineup.of(TABLE, Route("chat", (small, ANY)))
    assert order(lineup, None, Needs(tokens=1_000)) is lineup.plain
    found = order(lineup, None, Needs(tokens=1_001))
    assert [one.target for one in found.candidates] == [ANY]
    assert [one.target for one in found.passed_over] == [small]


def test_what_no_target_lacks_leaves_the_lineup_as_it_is():
    lineup = Lineup.of(TABLE, Route("chat", (BLIND, ANY)))
    assert order(lineup, None, Needs((TWO_ANSWERS,))) is lineup.plain
    assert order(lineup, None, Needs((TWO_ANSWERS, A_PICTURE))) is not lineup.plain


def test_the_dearest_price_is_of_those_who_may_be_tried():
    cheap, dear = Target("vllm", "cheap", Price(1, 2)), Target("openai", "dear", Price(5, 9), BLIND.facts)
    lineup = Lineup.of(TABLE, Route("chat", (cheap, dear)))
    assert lineup.plain.dearest == Price(5, 9)
    assert order(lineup, None, Needs((A_PICTURE,))).dearest == Price(1, 2)
