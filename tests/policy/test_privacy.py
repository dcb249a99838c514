"""Who may answer without, and with, an end person's consent."""

import pytest

from proxy.errors import Refused
from proxy.policy.privacy import permitted
from proxy.policy.selection import Candidate
from proxy.table import Consent, Target, Timeouts, Upstream


def candidate(name, *tags):
    upstream = Upstream(name, "openai", f"http://{name}", tags=frozenset(tags))
    return Candidate(Target(name, "m"), upstream, Timeouts())


ABROAD, HOME, ALIKE = (
    candidate("abroad", "eu"),
    candidate("home", "eu", "self-hosted"),
    candidate("alike", "self"),
)
ALL = (ABROAD, HOME, ALIKE)
NOBODY = ()


@pytest.mark.parametrize(
    ("rule", "given", "allowed"),
    [
        (Consent.OPTIONAL, True, ALL),
        (Consent.OPTIONAL, False, ALL),
        (Consent.OPTIONAL, None, ALL),
        (Consent.REQUIRED, True, ALL),
        (Consent.REQUIRED, False, NOBODY),
        (Consent.REQUIRED, None, NOBODY),
        (Consent.SELF_HOSTED_WITHOUT, True, ALL),
        (Consent.SELF_HOSTED_WITHOUT, False, (HOME,)),
        (Consent.SELF_HOSTED_WITHOUT, None, (HOME,)),
    ],
)
def test_only_an_outright_yes_is_consent(rule, given, allowed):
    if allowed:
        assert permitted(rule, ALL, given=given) == allowed
        return
    with pytest.raises(Refused) as caught:
        permitted(rule, ALL, given=given)
    told = caught.value.told
    assert (told.status, told.code, told.should_retry) == (403, "consent_required", False)


def test_where_nobody_at_home_answers_the_call_is_refused():
    with pytest.raises(Refused, match="no upstream of this model may answer"):
        permitted(Consent.SELF_HOSTED_WITHOUT, (ABROAD, ALIKE), given=None)


def test_the_order_is_kept():
    other = candidate("other", "self-hosted")
    assert permitted(Consent.SELF_HOSTED_WITHOUT, (other, ABROAD, HOME), given=False) == (other, HOME)
