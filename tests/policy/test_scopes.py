"""The names of counters, read back."""

import pytest

from proxy.call import Identity
from proxy.policy import quota, scopes
from proxy.policy.estimate import Estimate
from proxy.policy.meters import Asker, Limits
from proxy.table import Every, Limit, Per, Table, Unit


@pytest.mark.parametrize(
    ("scope", "whose", "every", "zone", "shadow"),
    [
        ("all/tokens/day", {}, "day", None, False),
        ("all/streams", {}, None, None, False),
        ("tenant=acme/tokens/day", {"tenant": "acme"}, "day", None, False),
        ("tenant=acme/nano_usd/month/shadow", {"tenant": "acme"}, "month", None, True),
        ("tenant=acme/user=p1/tokens/day", {"tenant": "acme", "user": "*"}, "day", None, False),
        ("tenant=acme/user=/tokens/day", {"tenant": "acme", "user": ""}, "day", None, False),
        ("key=k/model=a%2Fb%3Dc%25/requests/week@Europe%2FParis", {"key": "k", "model": "a/b=c%"}, "week",
         "Europe/Paris", False),
        ("tenant=all/streams", {"tenant": "all"}, None, None, False),
    ],
)  # fmt: skip
def test_a_name_says_whose_and_when(scope, whose, every, zone, shadow):
    assert scopes.read(scope) == scopes.Named(whose, every, zone, shadow)


@pytest.mark.parametrize("name", ["acme", "a/b", "a=b", "50%", "@home", "käse", "all", "tenant=x/user=y"])
def test_every_name_that_quotas_make_is_read_back(name):
    limit = Limit(Unit.TOKENS, 9, Every.DAY, Per.TENANT, model=name)
    asker = Asker(Identity(name, "key"), name, name)
    (claim,) = quota.claims(
        Limits.of(Table({}, (), (limit,))).upon(asker.identity).callers, asker, Estimate(1, 1), 0, 0
    )
    assert scopes.read(claim.scope) == scopes.Named({"tenant": name, "model": name}, "day", None, False)
    assert scopes.is_own(claim.scope, name, "other")


def test_a_name_s_separators_are_written_as_codes_that_ledgers_have_kept_before():
    """Counters are found by their names: written otherwise, what was used so far would be forgotten."""
    assert scopes.escaped("a/b=c%d") == "a%2Fb%3Dc%25d"
    assert scopes.escaped("a%3Db") == "a%253Db"


def test_no_pseudonym_is_left_in_a_masked_name():
    assert scopes.masked("tenant=acme/user=p_1/tokens/day") == "tenant=acme/user=*/tokens/day"
    assert scopes.masked("user=p_1/tokens/day") == "user=*/tokens/day"
    assert scopes.masked("tenant=user%3Dx/tokens/day") == "tenant=user%3Dx/tokens/day"


@pytest.mark.parametrize(
    ("scope", "own"),
    [
        ("tenant=acme/tokens/day", True),
        ("key=key_1/requests/minute", True),
        ("tenant=acme/key=key_2/tokens/day", True),
        ("tenant=acme2/tokens/day", False),
        ("key=key_2/tokens/day", False),
        ("model=tenant%3Dacme/tokens/day", False),
        ("all/tokens/day", False),
        ("tenant=acme/upstream=openai/tokens/day", False),
        ("tenant=acme/tokens/day/shadow", False),
    ],
)
def test_what_is_a_caller_s_own(scope, own):
    assert scopes.is_own(scope, "acme", "key_1") is own
