"""For how many answers what is held pays: no more are asked for, in tokens and in money."""

import pytest

from proxy.book import Book
from proxy.judgement import judge
from proxy.policy.terms import Terms
from proxy.store.recall import MemoryRecall
from proxy.table import OnMidstream
from proxy.usage import NOTHING, Usage
from tests.kit.mending import CONTINUE
from tests.kit.scripted_ports import call, table
from tests.kit.virtual import VirtualClock


def begun(how=CONTINUE, **members) -> Book:
    """The book of a call, before anything is asked."""
    terms = Terms.of(table("vllm-a", "vllm-b", on_midstream=how))
    return Book.of(judge(terms, call(**members), MemoryRecall(VirtualClock())), 0)


def test_one_more_is_covered_until_the_first_has_cost_more_than_its_part():
    book = begun()
    tokens, nano_usd = book.estimate.total // 2, book.worst // 2
    assert (book.spares, 2 * tokens, 2 * nano_usd) == (1, book.estimate.total, book.worst)
    for paid, cost, covered in (
        (NOTHING, 0, True),
        (Usage(0, tokens), nano_usd, True),
        (Usage(0, tokens + 1), 0, False),
        (Usage(tokens + 1, 0), 0, False),
        (NOTHING, nano_usd + 1, False),
    ):
        book.paid, book.nano_usd = paid, cost
        assert book.covers_another is covered, (paid, cost)


@pytest.mark.parametrize("used", [0, 1])
def test_where_nothing_is_held_for_a_second_none_is_covered_once_the_first_has_cost_anything(used):
    book = begun(OnMidstream.ERROR)
    assert book.spares == 0
    book.paid = Usage(used, 0)
    assert book.covers_another is (used == 0)
