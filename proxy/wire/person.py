"""How an end person is named to a vendor in whose own member the caller did not put the name.

Dialects call it wherever OpenAI's `safety_identifier` or `user` is said in another vendor's words.
"""

import hashlib


def pseudonym(tenant: str, person: str) -> str:
    """Stands for the end person: the same every time, and nobody's name or address."""
    return hashlib.sha256(f"{tenant}\n{person}".encode(errors="replace")).hexdigest()
