"""The ledger of a rehearsal keeps the promises of every ledger, as far as they outlive no process.

The tests are those of `test_conformance.py`, `test_marks.py` and `test_questions.py`; here they meet another
store.
"""

from contextlib import ExitStack, asynccontextmanager

import pytest

from proxy.holds import Progress
from proxy.store.passing import open_passing
from proxy.usage import Usage
from tests.store.making import StillClock, charge, claim, hold
from tests.store.stores import Store
from tests.store.test_conformance import (  # noqa: F401
    test_64_callers_never_overshoot_and_use_the_limit_up,
    test_a_charge_outside_reason_cannot_refund_or_overflow,
    test_a_claim_above_its_ceiling_is_refused_on_an_untouched_counter,
    test_a_claim_that_fits_exactly_is_granted_and_one_more_token_is_not,
    test_a_claim_without_a_charge_is_freed_and_a_charge_without_a_claim_is_not_invented,
    test_a_grant_tells_each_counter_as_it_left_it,
    test_a_granted_reservation_is_held_and_its_commit_is_used,
    test_a_move_adds_claims_all_or_none_and_settling_frees_them_too,
    test_a_release_frees_all,
    test_a_settlement_falls_in_the_window_that_was_reserved,
    test_a_shadow_holds_and_counts_beyond_its_ceiling_and_is_told_once,
    test_a_shadow_larger_than_its_ceiling_is_granted_too,
    test_all_claims_or_none_and_the_first_that_cannot_is_told,
    test_an_overdraft_is_recorded_never_refused,
    test_moving_a_call_that_is_not_open_is_an_error,
    test_reserving_a_call_twice_is_an_error_that_changes_nothing,
    test_settling_what_was_never_granted_is_harmless,
    test_the_first_resolution_stays,
    test_the_settling_row_says_what_happened_and_holds_the_attempts,
)
from tests.store.test_marks import (  # noqa: F401
    test_a_large_call_refused_does_not_make_a_limit_spent_and_marks_are_told_in_order,
    test_a_limit_nine_tenths_used_counts_as_spent_once_a_call_is_refused_for_what_was_used,
    test_marks_are_told_once_a_window_with_a_row_each,
)
from tests.store.test_questions import (  # noqa: F401
    test_a_question_is_answered_once_and_another_under_its_key_is_told_apart,
    test_what_came_to_nothing_may_be_asked_anew,
)


class PassingStore(Store):
    """A ledger in memory, which is there to be looked into until the test is over."""

    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._ledger = stack.enter_context(open_passing(StillClock(), self.alerts.append))

    @asynccontextmanager
    async def open(self, pace=None, **options):
        yield self._ledger

    def query(self, sql, *values):
        return list(self._ledger._tables.select(sql, *values))


@pytest.fixture
def store():
    with ExitStack() as stack:
        yield PassingStore(stack)


async def test_what_is_noted_of_a_call_under_way_is_for_nobody(store):
    """There is no next process that would settle it."""
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        ledger.note(Progress("c1", Usage(1, 2), 3, "vllm", "mixtral", (charge(3),)))
        assert store.balance() == (0, 10)
