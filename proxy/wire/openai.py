"""The `openai` dialect: OpenAI itself and everyone who speaks its chat completions.

DeepSeek, Mistral, Ollama and their kin are this dialect with capabilities declared in the table.
The story calls it through `dialect.Dialect`; it holds no state and is shared by all calls.
"""

from collections.abc import Mapping

from proxy.abilities import Capabilities
from proxy.call import Call, Signal, UpstreamRequest
from proxy.table import Target, Upstream
from proxy.wire.dialect import Reader, Recalled, Reply
from proxy.wire.errors import judge
from proxy.wire.openai_reply import judge_reply
from proxy.wire.openai_request import build
from proxy.wire.openai_stream import Expected, StreamReader
from proxy.wire.sse import begins

_OK = 200
_OBFUSCATION = frozenset({"obfuscation"})
"""Padding that hides the length of what is said; some send it to those who asked for none."""


class OpenAI:
    """OpenAI's chat completions, with what each upstream can and cannot do."""

    def request(
        self, call: Call, target: Target, upstream: Upstream, recalled: Recalled
    ) -> UpstreamRequest | Signal:
        """The request for `target`; a `Signal` (`UNABLE`) if this upstream cannot express the call."""
        return build(call, target, upstream, self.abilities(upstream), recalled)

    def reply(
        self, call: Call, upstream: Upstream, status: int, headers: Mapping[str, str], body: bytes
    ) -> Reply | Signal:
        """A whole answer, judged by its body: upstreams are careless with content types."""
        if status != _OK:
            return self.error(status, headers, body)
        return judge_reply(self.expected(call, upstream), status, body)

    def reader(self, call: Call, upstream: Upstream) -> Reader:
        """A reader for one streamed answer."""
        return StreamReader(self.expected(call, upstream))

    def opens(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether a readable stream of events begins here."""
        return begins(status, headers)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> Signal:
        """What an answer that is not a success (or not a stream) means."""
        return judge(status, headers, body)

    def abilities(self, upstream: Upstream) -> Capabilities:
        """What the upstream can do, as the table declares it."""
        return upstream.capabilities

    def expected(self, call: Call, upstream: Upstream) -> Expected:
        """What this upstream's answer to this call must look like."""
        able, body = self.abilities(upstream), call.body
        options = body.get("stream_options")
        padded = not options or options.get("include_obfuscation") is not False
        return Expected(
            call.prompt_bytes,
            call.include_usage,
            body.get("n") or 1,
            extras=able.own_members if padded else able.own_members | _OBFUSCATION,
            legacy=bool(body.get("functions")),
            reasoning_field=call.reasoning_field,
            call_id=call.id,
            recalls=able.reasoning != "strip",
            asked=body,
        )
