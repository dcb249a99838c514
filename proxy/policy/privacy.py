"""Who may answer a call, given what its end person agreed to.

`judgement.py` asks once, before anything is held: a call that nobody may answer is refused at no cost.
Only an outright yes is consent; a no and silence are treated alike. What the header may say is read
by `server/calls.py`, what the table demands stands in `Privacy`.
"""

from proxy.errors import Refused, Told
from proxy.policy.selection import Candidate
from proxy.table import Consent

SELF_HOSTED = "self-hosted"
"""The tag of an upstream that keeps what it is told within the house."""


def permitted(
    rule: Consent, candidates: tuple[Candidate, ...], *, given: bool | None
) -> tuple[Candidate, ...]:
    """Those of the candidates who may answer, in their order. Raises `Refused` 403 if there are none."""
    if given or rule is Consent.OPTIONAL:
        return candidates
    if rule is Consent.REQUIRED:
        raise _refused("This call needs the end person's consent.")
    allowed = tuple(each for each in candidates if SELF_HOSTED in each.upstream.tags)
    if not allowed:
        raise _refused("Without the end person's consent no upstream of this model may answer.")
    return allowed


def _refused(message: str) -> Refused:
    told = f"{message} Where it was given, send 'x-user-consent: true'."
    return Refused(Told(403, told, "permission_error", "consent_required", should_retry=False))
