"""What is held for a call, and what it came to: the words in which the story and the ledger speak.

Frozen records, which know no more of a rule than what their own numbers say (`over`, `exhausted`):
`policy/quota` says what a `Hold` must be, `account.py` asks for it through the `Ledger` port and settles it,
the stores write it down. Nothing here holds a prompt or an answer.
"""

from collections.abc import Awaitable

from msgspec import Struct

from proxy.call import Identity, Outcome
from proxy.question import Question
from proxy.table import Unit
from proxy.usage import Usage

COMMIT_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds by which the commits of the ledger are sorted."""

NEARLY = 90
"""Percent of a limit. When so much is used and a call is refused for it, hardly any other will find room."""

SHADOW = "/shadow"
"""What the names of counters end in that never refuse."""


class Claim(Struct, frozen=True):
    """A part of a reservation: so much of one counter in one window."""

    scope: str
    """The counter's stable name, such as `tenant=acme/tokens/day`."""
    window: int
    """Start of the window, Unix seconds UTC; settled in the one it was reserved in. Calls at once: 0."""
    window_end: int
    unit: Unit
    amount: int
    """Worst case held."""
    ceiling: int
    marks: tuple[int, ...]
    upstream: str | None = None
    """Set for a limit of an upstream: spent, that upstream is skipped."""
    shadow: bool = False
    """Held whether there is room or not; `SHADOW` ends the name of its counter."""

    @property
    def counter(self) -> tuple[str, int]:
        """Which balance it is held in."""
        return (self.scope, self.window)


class Hold(Struct, frozen=True):
    """A reservation: what a call may cost at most."""

    call_id: str
    at_us: int
    identity: Identity
    model: str
    input_tokens: int
    """Upper bound on prompt tokens."""
    output_tokens: int
    """Upper bound on completion tokens."""
    nano_usd: int
    claims: tuple[Claim, ...]
    consent: bool | None = None
    """What the caller said of the end person's consent."""
    question: Question | None = None
    """To be asked once."""


class Balance(Struct, frozen=True):
    """A counter as a granted reservation left it."""

    claim: Claim
    used: int
    held: int
    """By all calls in progress, this claim included."""

    @property
    def over(self) -> bool:
        """Whether the call would have been refused, were this no shadow."""
        return self.used + self.held > self.claim.ceiling


class Granted(Struct, frozen=True):
    """Everything asked for is held."""

    balances: tuple[Balance, ...]
    """One for each claim, in the order asked."""
    durable: Awaitable[None] | None = None
    """Done when the call's row is written, before which nothing of its answer is shown; None: it is."""


class Spent(Struct, frozen=True):
    """A counter that could not take a claim."""

    claim: Claim
    used: int
    held: int

    @property
    def exhausted(self) -> bool:
        """Whether the counter is as good as used up, for few calls end on the ceiling exactly.

        Nearly all of it is *used*, whatever is held besides, and what is left has no room for this call.
        With less used, a refusal says that the call was large; a smaller one still finds room.
        """
        amount, ceiling = self.claim.amount, self.claim.ceiling
        return self.used * 100 >= NEARLY * ceiling and amount <= ceiling < self.used + amount


class Charge(Struct, frozen=True):
    """What a claim really came to."""

    scope: str
    window: int
    amount: int


class Settlement(Struct, frozen=True):
    """The one resolution of a reservation."""

    outcome: Outcome
    ended_us: int
    charges: tuple[Charge, ...]
    """One for each claim held; zero for what was not used."""
    question: Question | None = None  # of the hold; a release lets it be asked again


class Progress(Struct, frozen=True):
    """How far a call under way has got: what it would come to if it ended now."""

    call_id: str
    usage: Usage
    nano_usd: int
    upstream: str
    """Who is answering."""
    upstream_model: str
    charges: tuple[Charge, ...]


class Alert(Struct, frozen=True):
    """A counter crossed a mark, told once a window."""

    scope: str
    window: int
    mark: int
    """Percent."""
    used: int
    ceiling: int
    unit: Unit

    @property
    def shadow(self) -> bool:
        """Whether nobody is refused for it."""
        return self.scope.endswith(SHADOW)


class Pulse(Struct, frozen=True):
    """How a ledger fares, for whoever watches it."""

    well: bool
    """Whether it writes."""
    waiting: int
    """Requests that the next transaction will have."""
    commits: tuple[int, ...]
    """How many took up to each of `COMMIT_BOUNDS_S` and longer than the one before; the last: longer."""
    commit_s: float
    """What they took all together, seconds."""
