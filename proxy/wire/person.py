"""How an end person is named to a vendor in whose own member the caller did not put the name.

Dialects call it wherever OpenAI's `safety_identifier` or `user` is said in another vendor's words. It must be
made from the ledger's pseudonym alone: a digest of the id itself could be tried with guesses, and would still
be that person's after an erasure.
"""

import hashlib

from proxy.call import Identity


def pseudonym(identity: Identity) -> str | None:
    """Stands for the end person, if there is one: the same until erased, and not what the ledger says."""
    if identity.user is None:
        return None
    return hashlib.sha256(f"{identity.tenant}\n{identity.user}".encode()).hexdigest()
