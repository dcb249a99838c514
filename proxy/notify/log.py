"""Alerts as log records, their facts in `extra`, for whatever already reads the log.

`app.py` puts `LogAlerts` among the observers. It never raises and never blocks longer than a log handler
does; a record holds the name of a counter or an upstream and numbers, nothing else. Calls have no line: they
have a row in the ledger, and whoever wants each of them elsewhere has traces.
"""

import logging

from proxy.holds import Alert
from proxy.ports import Observer

log = logging.getLogger("proxy.alert")


class LogAlerts(Observer):
    """An observer that cares for marks and breakers: a line each, an error for a spent limit that refuses."""

    def breaker(self, upstream: str, state: str) -> None:
        level = logging.WARNING if state == "open" else logging.INFO
        log.log(level, "breaker changed", extra={"upstream": upstream, "state": state})

    def alerted(self, alert: Alert) -> None:
        level = logging.ERROR if alert.mark >= 100 and not alert.shadow else logging.WARNING
        facts = {
            "scope": alert.scope,
            "window": alert.window,
            "mark": alert.mark,
            "used": alert.used,
            "ceiling": alert.ceiling,
            "unit": alert.unit.value,
            "shadow": alert.shadow,
        }
        log.log(level, "limit mark crossed", extra=facts)
