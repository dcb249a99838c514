"""The `gemini` dialect as the story calls it.

It holds no state and is shared by all calls.
"""

from collections.abc import Mapping

from proxy.call import Call, Signal, UpstreamRequest
from proxy.table import Target, Upstream
from proxy.wire.dialect import Reader, Recalled, Reply
from proxy.wire.gemini.errors import judge
from proxy.wire.gemini.reply import judge_reply
from proxy.wire.gemini.request import build
from proxy.wire.gemini.stream import GeminiReader
from proxy.wire.sse import begins

_OK = 200


class Gemini:
    """Google's Developer API: `generateContent` and its stream."""

    def request(
        self, call: Call, target: Target, upstream: Upstream, recalled: Recalled
    ) -> UpstreamRequest | Signal:
        """The request for `target`; a `Signal` (`UNABLE`) if Gemini cannot express the call."""
        return build(call, target, upstream, recalled)

    def reply(
        self, call: Call, upstream: Upstream, status: int, headers: Mapping[str, str], body: bytes
    ) -> Reply | Signal:
        """A whole answer, judged by its body."""
        if status != _OK:
            return judge(status, headers, body)
        return judge_reply(call, status, body)

    def reader(self, call: Call, upstream: Upstream) -> Reader:
        """A reader for one streamed answer."""
        return GeminiReader(call)

    def opens(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether a readable stream of events begins here."""
        return begins(status, headers)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> Signal:
        """What an answer that is not a success (or not a stream) means."""
        return judge(status, headers, body)
