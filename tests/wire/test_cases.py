"""Every golden folder under `cases/`: what goes up, what comes down, and what is counted.

`README.md` says how to add one.
"""

import copy
import json
import random
from pathlib import Path

import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase
from msgspec.structs import asdict, replace
from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from pydantic import TypeAdapter

from proxy.abilities import Capabilities
from proxy.call import UpstreamRequest
from proxy.facts.capabilities import KNOWN
from proxy.wire import DIALECTS
from proxy.wire.body import check
from proxy.wire.dialect import Reply
from tests.wire.gemini.vendor import Request as GeminiRequest
from tests.wire.samples import HELLO, TARGET, accumulate, make_call, make_target, make_upstream, read_whole

CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(path for path in CASES.glob("*/*") if path.is_dir())
SETS = {"accept", "strip", "refuse", "strip_inside", "own_members"}
PAIRS = {"rename", "efforts"}
STOPS = {"anthropic": b'"stop_reason":"', "gemini": b'"finishReason":"'}
"""What must have come before a stream may pass for whole, where it is not OpenAI's own finish."""
TYPES = {"anthropic": MessageCreateParamsBase, "gemini": GeminiRequest}
"""The vendor's own types of a request, where they are not OpenAI's."""


def having(name):
    folders = [folder for folder in FOLDERS if (folder / name).exists()]
    return pytest.mark.parametrize(
        "folder", folders, ids=lambda folder: f"{folder.parent.name}/{folder.name}"
    )


def load(folder, name, default=None):
    path = folder / name
    return json.loads(path.read_text()) if path.exists() else default


def arrange(folder):
    """The dialect, the call, the target and the upstream of a case."""
    body = load(folder, "request.client.json", HELLO)
    case = load(folder, "case.json", {})
    able = {name: frozenset(value) if name in SETS else value for name, value in case.get("able", {}).items()}
    for name in PAIRS & able.keys():
        able[name] = tuple(tuple(pair) for pair in able[name])
    call = make_call(body, **case.get("call", {}))
    target = make_target(folder.parent.name, case.get("model", TARGET.model))
    known = replace(KNOWN[case["like"]] if "like" in case else Capabilities(), **able)
    headers = tuple(case.get("headers", {}).items())
    upstream = replace(make_upstream(), headers=headers, capabilities=known)
    target = replace(target, facts=replace(target.facts, **case.get("facts", {})))
    return DIALECTS[folder.parent.name], call, target, upstream


def recalled(folder):
    """State that was kept, by tool-call id; a case writes it as JSON."""
    kept = load(folder, "case.json", {}).get("recalled", {})
    return {call: json.dumps(state).encode() for call, state in kept.items()}


def check_memories(folder, memories):
    """What is kept for the next turn: nothing, unless the case says so."""
    kept = [{"calls": list(memory.calls), "state": json.loads(memory.state)} for memory in memories]
    assert kept == load(folder, "memories.json", [])


def check_end(folder, reader):
    failure = load(folder, "failure.json")
    if failure is None:
        assert reader.failure is None
        assert reader.ended
        check_memories(folder, reader.memories)
    else:
        assert not reader.ended
        assert {"kind": reader.failure.kind, "phase": reader.failure.phase} == failure
    assert asdict(reader.usage) == load(folder, "usage.json")
    check_memories(folder, reader.memories)


@having("request.client.json")
def test_what_a_caller_asks_goes_up_as_the_upstream_wants_it(folder):
    dialect, call, target, upstream = arrange(folder)
    check(dict(call.body))
    before = copy.deepcopy(call.body)
    request = dialect.request(call, target, upstream, recalled(folder))
    assert call.body == before
    unable = load(folder, "unable.json")
    if unable is not None:
        assert {"kind": request.kind, "phase": request.phase, "detail": request.detail} == unable
        assert request.told.status == 400
        assert request.detail == f"cannot express {request.told.param}"
        return
    assert isinstance(request, UpstreamRequest)
    assert json.loads(request.body) == load(folder, "request.upstream.json")
    assert list(request.degraded) == load(folder, "case.json", {}).get("degraded", [])


@having("reply.upstream.json")
def test_a_whole_answer_comes_down_as_openai_would_say_it(folder):
    dialect, call, _, upstream = arrange(folder)
    body = (folder / "reply.upstream.json").read_bytes()
    reply = dialect.reply(call, upstream, 200, {"content-type": "application/json"}, body)
    failure = load(folder, "failure.json")
    if failure is not None:
        assert {"kind": reply.kind, "phase": reply.phase} == failure
        return
    assert isinstance(reply, Reply)
    assert json.loads(reply.body) == load(folder, "reply.client.json")
    if json.loads(reply.body) == json.loads(body):
        assert reply.body == body
    assert asdict(reply.usage) == load(folder, "usage.json")
    check_memories(folder, reply.memories)
    ChatCompletion.model_validate_json(reply.body)


@pytest.mark.fault("c7-bytes")
@having("reply.upstream.sse")
@pytest.mark.parametrize("step", [None, 1, 7])
def test_a_stream_comes_down_the_same_however_it_is_cut(folder, step):
    dialect, call, _, upstream = arrange(folder)
    reader = dialect.reader(call, upstream)
    out = read_whole(reader, (folder / "reply.upstream.sse").read_bytes(), step)
    assert out.decode() == (folder / "reply.client.sse").read_text()
    check_end(folder, reader)
    if reader.ended and b"\\ud8" not in out:  # the strict types know no half characters; the SDK does
        accumulate(out)


@having("reply.upstream.sse")
def test_a_stream_comes_down_the_same_at_random_cuts(folder):
    dialect, call, _, upstream = arrange(folder)
    data = (folder / "reply.upstream.sse").read_bytes()
    dice = random.Random(folder.name)
    for _ in range(10):
        reader = dialect.reader(call, upstream)
        cuts = sorted(dice.sample(range(len(data)), min(9, len(data) - 1)))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        out = b"".join(reader.feed(piece) for piece in pieces) + reader.finish()
        assert out.decode() == (folder / "reply.client.sse").read_text()
        check_end(folder, reader)


@pytest.mark.fault("c2-cut")
@having("reply.upstream.sse")
def test_a_stream_cut_at_any_byte_is_never_sold_as_whole(folder):
    dialect, call, _, upstream = arrange(folder)
    data = (folder / "reply.upstream.sse").read_bytes()
    finished = data.rfind(STOPS.get(folder.parent.name, b'"finish_reason":"'))
    for at in range(len(data)):
        reader = dialect.reader(call, upstream)
        out = reader.feed(data[:at]) + reader.finish()
        assert reader.ended != (reader.failure is not None)
        assert out.endswith(b"data: [DONE]\n\n") == reader.ended
        if reader.ended:
            assert finished != -1
            assert at > finished
        assert not out or out.endswith(b"\n\n")


@pytest.mark.parametrize(
    "folder",
    [folder for folder in FOLDERS if (folder / "request.upstream.json").exists()],
    ids=lambda folder: folder.name,
)
def test_what_goes_up_is_a_request_in_the_vendors_types(folder):
    """Known members have the SDK's types; an engine's own members are beside the point here."""
    body = load(folder, "request.upstream.json")
    types = TYPES.get(folder.parent.name, CompletionCreateParamsBase)
    known = {name: value for name, value in body.items() if name in types.__annotations__}
    TypeAdapter(types).validate_python(known)
