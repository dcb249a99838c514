"""What a dialect raises inside when an upstream has no way to express a call.

The dialect's `request` turns it into a `Signal`, so that the plan goes on to the next target; the
caller is told of the member only if nobody could serve the call. The reason names members and
places, never what the caller wrote there.
"""

from proxy.call import Kind, Phase, Signal
from proxy.errors import Told


class Unable(Exception):
    """The upstream cannot say `param`."""

    def __init__(self, param: str, reason: str, code: str = "unsupported_parameter") -> None:
        super().__init__(reason)
        self.param = param
        self.reason = reason
        self.code = code

    def signal(self) -> Signal:
        """The same for the plan: nothing was sent, and this is what the caller may be told."""
        told = Told(400, self.reason, "invalid_request_error", self.code, self.param)
        return Signal(Kind.UNABLE, Phase.CONNECT, told=told, detail=f"cannot express {self.param}")
