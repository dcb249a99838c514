"""What recorded answers thought is kept to the letter, as the vendor's own SDK reads it."""

import json

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message

from proxy.wire.anthropic.dialect import Anthropic
from tests.wire.samples import FIXTURES, HELLO, make_call, make_upstream, read_whole

FILES = sorted((FIXTURES / "anthropic").glob("*"))
ANSWERS = [path for path in FILES if not path.name.startswith(("error_", "count_tokens"))]

pytestmark = pytest.mark.skipif(
    not FILES, reason=f"no recordings under {FIXTURES} (set FALLTHROUGH_FIXTURES)"
)


def vendors_message(data) -> Message:
    """What Anthropic's own SDK makes of a stream."""
    snapshot, buffers = None, {}
    for line in data.splitlines():
        if line.startswith(b"data: ") and json.loads(line[6:])["type"] != "ping":
            event = json.loads(line[6:])
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    return snapshot


def kept(memories):
    """The thoughts among what is kept."""
    turns = [json.loads(memory.state)["turn"] for memory in memories]
    return [part for turn in turns for part in turn if isinstance(part, dict)]


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_the_thoughts_of_a_recorded_answer_with_calls_are_kept_to_the_letter(path):
    data = path.read_bytes()
    if path.suffix == ".sse":
        reader = Anthropic().reader(make_call({**HELLO, "stream": True}), make_upstream())
        read_whole(reader, data)
        theirs, memories = vendors_message(data), reader.memories
    else:
        memories = Anthropic().reply(make_call(), make_upstream(), 200, {}, data).memories
        theirs = Message.model_validate_json(data)
    calls = [block.id for block in theirs.content if block.type == "tool_use"]
    thoughts = [block.to_dict() for block in theirs.content if block.type.endswith("thinking")]
    assert kept(memories) == (thoughts if calls else [])
    assert [call for memory in memories for call in memory.calls] == (calls if thoughts else [])
