"""Fake upstreams for trying and testing: `serve` answers like OpenAI and vLLM, and fails by script."""

from proxy.simulator.server import serve

__all__ = ["serve"]
