"""Who may still take a prompt that was too long for somebody."""

import pytest

from proxy.abilities import ModelFacts
from proxy.policy.windows import Windows


def of(context):
    return ModelFacts(context=context)


# contexts that refused, in order; contexts that may yet hold it, and those that may not
COURSES = [
    ((), (None, 1, 8), ()),
    ((8,), (None, 9, 16), (8, 4)),
    ((None,), (None, 1, 8), ()),
    ((8, None), (9, 16), (None, 8, 4)),
    ((None, None), (1, 8), (None,)),
    ((None, 8), (None, 16), (8, 4)),
    ((8, 16), (None, 17), (16, 8)),
    ((16, 8), (None, 17), (16, 9)),
    ((8, None, 16), (17,), (None, 16)),
]


@pytest.mark.parametrize(("refused", "may", "may_not"), COURSES)
def test_only_a_larger_context_may_hold_it_and_an_unknown_one_once(refused, may, may_not):
    windows = Windows()
    for context in refused:
        windows.refused(of(context))
    assert all(windows.may_hold(of(context)) for context in may)
    assert not any(windows.may_hold(of(context)) for context in may_not)
