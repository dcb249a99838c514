"""Tokens and money.

`Usage` counts tokens by kind and says where the count came from; `Price` turns it into integer
nano-dollars. No float ever holds money, and what an attempt costs is rounded once, upward.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

TOKENS_PER_PRICE = 1_000_000


BYTES_PER_TOKEN = 4
"""Of a text whose tokens nobody reports."""


class Source(StrEnum):
    """How far a count can be trusted."""

    REPORTED = "reported"
    """The upstream said so."""
    OBSERVED = "observed"
    """Counted from the content that passed through, because no report came."""
    ESTIMATED = "estimated"
    """Derived from sizes alone; nothing of the answer was seen."""


class Usage(Struct, frozen=True):
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


class Price(Struct, frozen=True):
    """Nano-dollars per million tokens, so that USD 0.15 per million is 150_000_000."""

    input: int
    output: int
    cached: int | None = None
    """Price of cached input; None: the same as `input`."""
    cache_write: int | None = None
    """Price of input written to a cache; None: the same as `input`."""
    above: tuple[tuple[int, "Price"], ...] = ()
    """Tiers, rising: (tokens, what every token of an attempt costs whose input is more than that)."""

    def at(self, input_tokens: int) -> "Price":
        """The tier that an attempt with so much input is in."""
        found = self
        for tokens, price in self.above:
            if input_tokens > tokens:
                found = price
        return found

    def cost(self, usage: Usage) -> int:
        """What the `usage` of one attempt costs in nano-dollars, rounded up once."""
        tier = self.at(usage.input) if self.above else self
        cached = tier.input if tier.cached is None else tier.cached
        written = tier.input if tier.cache_write is None else tier.cache_write
        plain = max(0, usage.input - usage.cached - usage.cache_write)
        total = (
            plain * tier.input
            + usage.cached * cached
            + usage.cache_write * written
            + usage.output * tier.output
        )
        return -(-total // TOKENS_PER_PRICE)

    def worst(self, input_tokens: int, output_tokens: int) -> int:
        """The most that up to so many tokens can cost, whichever kind of input they turn out to be.

        A higher tier may be the cheaper one, so every tier that can be reached is looked at.
        """
        dearest = max(self.input, self.cached or 0, self.cache_write or 0)
        most = -(-(input_tokens * dearest + output_tokens * self.output) // TOKENS_PER_PRICE)
        for tokens, tier in self.above:
            if input_tokens > tokens:
                most = max(most, tier.worst(input_tokens, output_tokens))
        return most

    @classmethod
    def dearest(cls, prices: Iterable["Price"]) -> "Price":
        """A price that none of `prices` exceeds for any kind of token, in any tier; of none: nothing."""
        every = tuple(prices)
        if len(every) == 1:
            return every[0]
        steps = {tokens for price in every if price.above for tokens, _ in price.above}
        if not steps:
            return _most(every)
        tiers = ((tokens, _most([price.at(tokens + 1) for price in every])) for tokens in sorted(steps))
        return replace(_most(every), above=tuple(tiers))


FREE = Price(0, 0)


def _most(prices: Sequence[Price]) -> Price:
    """The most that any of them asks for each kind, tiers left aside."""
    plain = output = cached = written = 0
    for price in prices:
        plain = max(plain, price.input)
        output = max(output, price.output)
        cached = max(cached, price.input if price.cached is None else price.cached)
        written = max(written, price.input if price.cache_write is None else price.cache_write)
    return Price(plain, output, None if cached == plain else cached, None if written == plain else written)
