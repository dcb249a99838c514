"""Fallthrough: an OpenAI-compatible proxy that answers from whichever upstream is healthy.

`docs/ARCHITECTURE.md` is the map; `relay.py` is the way of one call from top to bottom.
"""
