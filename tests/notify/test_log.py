"""Alerts as log lines."""

import logging

import pytest

from proxy.holds import Alert
from proxy.notify.log import LogAlerts
from proxy.table import Unit


@pytest.mark.parametrize(
    ("mark", "level"), [(75, logging.WARNING), (90, logging.WARNING), (100, logging.ERROR)]
)
def test_an_alert_is_one_record_with_its_numbers(caplog, mark, level):
    with caplog.at_level(logging.INFO, "proxy.alert"):
        LogAlerts().alerted(Alert("tenant=acme/tokens/day", 1_767_225_600, mark, 76, 100, Unit.TOKENS))
    (record,) = caplog.records
    assert record.levelno == level
    told = (record.scope, record.window, record.mark, record.used, record.ceiling, record.unit)
    assert told == ("tenant=acme/tokens/day", 1_767_225_600, mark, 76, 100, "tokens")


def test_a_spent_shadow_is_no_error_and_says_that_it_is_one(caplog):
    with caplog.at_level(logging.INFO, "proxy.alert"):
        LogAlerts().alerted(Alert("tenant=acme/tokens/day/shadow", 0, 100, 100, 100, Unit.TOKENS))
    (record,) = caplog.records
    assert (record.levelno, record.shadow) == (logging.WARNING, True)


@pytest.mark.parametrize(
    ("state", "level"), [("open", logging.WARNING), ("half_open", logging.INFO), ("closed", logging.INFO)]
)
def test_a_breaker_that_changes_is_one_record(caplog, state, level):
    with caplog.at_level(logging.INFO, "proxy.alert"):
        LogAlerts().breaker("main", state)
    (record,) = caplog.records
    assert (record.levelno, record.upstream, record.state) == (level, "main", state)
