"""Alerts as log records, their facts in `extra`, for whatever already reads the log.

`app.py` puts `LogAlerts` among the observers. It never raises and never blocks longer than a log handler
does; a record holds the name of a counter or an upstream and numbers, nothing else. Calls have no line: they
have a row in the ledger, and whoever wants each of them elsewhere has traces.
"""

import logging

from proxy.call import Attempt, Outcome
from proxy.holds import Alert, Granted, Spent

log = logging.getLogger("proxy.alert")


class LogAlerts:
    """An observer that cares for marks and breakers: a line each, an error for a spent limit that refuses."""

    def settled(self, outcome: Outcome) -> None:
        """Nothing to say: the ledger has it."""

    def attempted(self, attempt: Attempt) -> None:
        """Nothing to say: the ledger has it."""

    def reserved(self, answer: Granted | Spent) -> None:
        """Nothing to say: the caller was told, and a mark once a window is enough."""

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
