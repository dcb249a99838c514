"""Simulated upstreams: they speak the dialects and fail on a script.

Behind `fallthrough simulate`, the quickstart (`simulator: auto`) and the tests. They answer from
nothing but the request, so the same request gets the same answer, and never call anybody.
"""

from proxy.simulator.server import serve

__all__ = ["serve"]
