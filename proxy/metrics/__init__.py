"""Metrics: an observer that counts what ends, and the text that scrapers read.

`observer.py` is told of calls and attempts, `limits.py` keeps what it hears of limits, `asked.py` asks others
how they fare when somebody looks, and `series.py` is what all of them count with. Names and labels follow
OpenTelemetry's conventions for generative AI where these have one, and begin with `fallthrough_` where they
have not (docs/decisions/0031). Nothing here changes anything, waits for anything, or knows a person.
"""

from proxy.metrics.observer import Metrics

__all__ = ["Metrics"]
