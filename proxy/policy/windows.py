"""Who may still be asked once a target has found the prompt too long.

`plan.py` keeps one for each call. The prompt is the same everywhere, so only a larger context can
take it. Where nobody knows how large a context is, one such target is asked all the same, and then
no other: a prompt that is too long for all of a dozen targets is not carried to each of them.
"""

from msgspec import Struct

from proxy.abilities import ModelFacts


class Windows(Struct):
    """What the refusals so far say of the prompt."""

    refusals: int = 0
    widest: int = 0
    """The largest known context that was too small."""
    guessed: bool = False
    """Whether one of unknown context was asked after a refusal, and refused too."""

    def refused(self, facts: ModelFacts) -> None:
        """A target of these facts found the prompt too long."""
        if facts.context is None:
            self.guessed = self.refusals > 0
        else:
            self.widest = max(self.widest, facts.context)
        self.refusals += 1

    def may_hold(self, facts: ModelFacts) -> bool:
        """Whether a target of these facts may yet take it."""
        if self.refusals == 0:
            return True
        return not self.guessed if facts.context is None else facts.context > self.widest
