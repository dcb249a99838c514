"""Tokens and money.

`Usage` counts tokens by kind and says where the count came from; `Price` turns it into integer
nano-dollars. No float ever holds money (promise L6), and rounding happens once, upward, per call.
"""

from dataclasses import dataclass
from enum import StrEnum

TOKENS_PER_PRICE = 1_000_000


class Source(StrEnum):
    """How far a count can be trusted."""

    REPORTED = "reported"
    """The upstream said so."""
    OBSERVED = "observed"
    """Counted from the content that passed through, because no report came."""
    ESTIMATED = "estimated"
    """Derived from sizes alone; nothing of the answer was seen."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt or one call. All counts are non-negative."""

    input: int = 0
    """Prompt tokens, those read from or written to a cache included."""
    output: int = 0
    """Completion tokens, reasoning included."""
    cached: int = 0
    """Part of `input` that was read from the upstream's cache."""
    cache_write: int = 0
    """Part of `input` that was written to the upstream's cache."""
    reasoning: int = 0
    """Part of `output` that the model spent on reasoning."""
    source: Source = Source.ESTIMATED

    @property
    def total(self) -> int:
        """Input and output together: what token limits count."""
        return self.input + self.output

    def plus(self, other: "Usage") -> "Usage":
        """Both together, as trustworthy as the less trustworthy of them."""
        if self == NOTHING:
            return other
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.cache_write + other.cache_write,
            self.reasoning + other.reasoning,
            max(self.source, other.source, key=TRUST.index),
        )


NOTHING = Usage()
TRUST = (Source.REPORTED, Source.OBSERVED, Source.ESTIMATED)
"""The most trustworthy first."""


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars per million tokens, so that USD 0.15 per million is 150_000_000."""

    input: int
    output: int
    cached: int | None = None
    """Price of cached input; None: the same as `input`."""
    cache_write: int | None = None
    """Price of input written to a cache; None: the same as `input`."""

    def cost(self, usage: Usage) -> int:
        """What `usage` costs in nano-dollars, rounded up once."""
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.cache_write is None else self.cache_write
        plain = max(0, usage.input - usage.cached - usage.cache_write)
        total = (
            plain * self.input
            + usage.cached * cached
            + usage.cache_write * written
            + usage.output * self.output
        )
        return -(-total // TOKENS_PER_PRICE)

    def worst(self, input_tokens: int, output_tokens: int) -> int:
        """The most that so many tokens can cost, whichever kind of input they turn out to be."""
        dearest = max(self.input, self.cached or 0, self.cache_write or 0)
        total = input_tokens * dearest + output_tokens * self.output
        return -(-total // TOKENS_PER_PRICE)


FREE = Price(0, 0)
