"""How long a replica has been in touch with its server: what it may do by itself, and may say of others.

A pure state machine that `backing.py` feeds. Who has not been heard of for so long may be taken for dead by
others; so a replica that was out of touch for half of it does nothing by itself. And who was out of touch
knows nothing of others: after an outage all look silent. It says of nobody that they are dead before it has
itself been in touch for as long, and by a clock that did not jump.
"""

JUMP_S = 1.0
"""By so much the server's clock and ours may drift apart between two words."""


class Contact:
    """The contact of one replica."""

    def __init__(self, dead_s: float, now_s: float) -> None:
        self._dead_s = dead_s
        self._since_s = now_s
        self.heard_s = now_s
        """When the last word was begun that was answered."""
        self._server: tuple[float, float] | None = None
        """Our clock and the server's, when it last told the time."""

    def heard(self, asked_s: float, server_s: float | None = None) -> None:
        """The server answered what was asked then; perhaps it told the time."""
        if asked_s - self.heard_s > self._dead_s / 2:
            self._since_s = asked_s
        if server_s is not None:
            if self._server is not None:
                ours, theirs = self._server
                if abs((server_s - theirs) - (asked_s - ours)) > JUMP_S:
                    self._since_s = asked_s
            self._server = (asked_s, server_s)
        self.heard_s = max(self.heard_s, asked_s)

    def lost(self, now_s: float) -> None:
        """The server did not answer."""
        self._since_s, self._server = now_s, None

    def certain(self, now_s: float) -> bool:
        """Whether nobody can have taken this replica for dead yet."""
        return now_s - self.heard_s < self._dead_s / 2

    def knows_the_dead(self, now_s: float) -> bool:
        """Whether who looks silent is silent."""
        return now_s - self._since_s >= self._dead_s
