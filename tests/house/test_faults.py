"""Every fault of the list has a test that says so, and the page shows it."""

from tests.house.faults import PAGE, faults, page, proofs


def test_every_fault_has_a_test_and_every_mark_a_fault():
    listed = [fault.id for part in faults().values() for fault in part]
    assert len(listed) == len(set(listed))
    assert set(listed) - set(proofs()) == set(), "without a test"
    assert set(proofs()) - set(listed) == set(), "not in tests/house/faults.toml"


def test_the_page_of_faults_is_up_to_date():
    written = PAGE.read_text("utf-8")
    assert page(written) == written, "run: python -m tests.house.faults"
