"""Why a replica may not write what it was about to write; `backing.py` is told by the exception."""

FENCED = "this replica was not heard of for too long, and others took over"


class Fenced(Exception):
    """Others took this replica for dead, and settled what it had open."""
