"""Alerts as log lines."""

import json
import logging

import pytest

from proxy.notify.log import LogAlerts
from proxy.ports import Alert
from proxy.table import Unit


@pytest.mark.parametrize(
    ("mark", "level"), [(75, logging.WARNING), (90, logging.WARNING), (100, logging.ERROR)]
)
def test_an_alert_is_one_line_of_json(caplog, mark, level):
    with caplog.at_level(logging.INFO, "fallthrough.alert"):
        LogAlerts().alerted(Alert("tenant=acme\ntokens/day", 1_767_225_600, mark, 76, 100, Unit.TOKENS))
    (record,) = caplog.records
    assert record.levelno == level
    assert "\n" not in record.getMessage()
    assert json.loads(record.getMessage()) == {
        "event": "limit_mark",
        "scope": "tenant=acme\ntokens/day",
        "window": 1_767_225_600,
        "mark": mark,
        "used": 76,
        "ceiling": 100,
        "unit": "tokens",
    }
