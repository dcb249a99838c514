"""Claude's Messages as a dialect.

The story calls it through `dialect.Dialect`; it holds no state and is shared by all calls.
"""

from collections.abc import Mapping

from proxy.call import Call, Signal, UpstreamRequest
from proxy.table import Target, Upstream
from proxy.wire.anthropic.errors import judge
from proxy.wire.anthropic.reply import judge_reply
from proxy.wire.anthropic.request import build
from proxy.wire.anthropic.stream import StreamReader
from proxy.wire.dialect import Reader, Recalled, Reply
from proxy.wire.sse import begins
from proxy.wire.unable import Unable

_OK = 200


class Anthropic:
    """Messages, from and to chat completions."""

    def request(
        self, call: Call, target: Target, upstream: Upstream, recalled: Recalled
    ) -> UpstreamRequest | Signal:
        """The request for `target`; a `Signal` (`UNABLE`) if Messages cannot express the call."""
        try:
            return build(call, target, upstream, recalled)
        except Unable as reason:
            return reason.signal()

    def reply(
        self, call: Call, upstream: Upstream, status: int, headers: Mapping[str, str], body: bytes
    ) -> Reply | Signal:
        """A whole answer, judged by its body."""
        if status != _OK:
            return self.error(status, headers, body)
        return judge_reply(call, status, body)

    def reader(self, call: Call, upstream: Upstream) -> Reader:
        """A reader for one streamed answer."""
        return StreamReader(call)

    def opens(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether a readable stream of events begins here."""
        return begins(status, headers)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> Signal:
        """What an answer that is not a success (or not a stream) means."""
        return judge(status, headers, body)
