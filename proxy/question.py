"""What a caller's `idempotency-key` stands for, and what is told where it was used before.

A key belongs to a tenant and stands for one question. Neither is held anywhere as it came, only digests:
a key is a nonce that a program makes, and what it was made of is not to be had from here. `server/` makes
a `Question` of a request, the ledger remembers it with the reservation, `account.py` tells what it found.
"""

from msgspec import Struct

from proxy.errors import CallerFault, Refused, Told

HEADER = "idempotency-key"


class Question(Struct, frozen=True):
    """What a key was used for."""

    name: bytes
    """Digest of the tenant and the key."""
    digest: bytes
    """Of the key and what was asked: without the key nobody can try whether a prompt or a person was it."""


class Repeated(Struct, frozen=True):
    """A key is known to have been used: nothing was held."""

    same: bool
    """Whether for this very question."""

    def refusal(self) -> CallerFault | Refused:
        """What whoever asked is told."""
        return conflict() if self.same else reused()


def reused() -> CallerFault:
    """422: the key stands for another question."""
    message = f"This {HEADER} was used for another request. Use a new one for each."
    told = Told(422, message, "invalid_request_error", "idempotency_key_reused", HEADER, should_retry=False)
    return CallerFault(told)


def conflict() -> Refused:
    """409: the key was used, and what came of it cannot be said again."""
    message = (
        f"A call with this {HEADER} was made and may have been paid for, but its answer is not at hand. "
        "To have it made again, use a new one."
    )
    told = Told(409, message, "invalid_request_error", "idempotency_conflict", HEADER, should_retry=False)
    return Refused(told)
