"""Whatever JSON an upstream sends, a dialect judges it and raises nothing."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.call import Signal
from proxy.wire import DIALECTS
from proxy.wire.dialect import Reply
from tests.wire.samples import HELLO, make_call, make_upstream

WORDS = """
index delta message finish_reason content role reasoning tool_calls function name arguments id type usage
prompt_tokens completion_tokens prompt_tokens_details text thinking error code detail msg loc stop_reason
choices function_call audio
"""
NAMES = st.sampled_from(WORDS.split())
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats(0, 2)
    | st.sampled_from(["", "x", "stop", "abort"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
ANSWERS = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries({"index": st.just(0), "delta": VALUES, "message": VALUES}), max_size=2
        )
    },
    optional={"usage": VALUES, "error": VALUES},
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(ANSWERS | VALUES, max_size=3), st.sampled_from(sorted(DIALECTS)), st.booleans())
def test_nothing_an_upstream_says_raises(bodies, name, legacy):
    body = {**HELLO, "stream": True, **({"functions": [{"name": "x"}]} if legacy else {})}
    call = make_call(body, include_usage=not legacy)
    reader = DIALECTS[name].reader(call, make_upstream())
    for said in bodies:
        data = json.dumps(said).encode()
        reader.feed(b"data: " + data + b"\n\n")
        assert isinstance(DIALECTS[name].reply(call, make_upstream(), 200, {}, data), Reply | Signal)
        assert isinstance(DIALECTS[name].error(400, {}, data), Signal)
    reader.finish()
    assert reader.ended != (reader.failure is not None)
    assert reader.usage.total >= 0


@pytest.mark.parametrize("depth", [300, 900, 1020, 3000])
@pytest.mark.parametrize(
    "around", ['{"choices":[{"index":0,"delta":{"x":%s}}],"usage":null}', '{"error":%s}', "%s"]
)
def test_deep_nesting_raises_nothing(depth, around):
    data = (around % ("[" * depth + "]" * depth)).encode()
    dialect = DIALECTS["openai"]
    reader = dialect.reader(make_call(), make_upstream())
    reader.feed(b"data: " + data + b"\n\n")
    reader.finish()
    assert reader.failure is not None
    assert isinstance(dialect.reply(make_call(), make_upstream(), 200, {}, data), Signal)
    assert isinstance(dialect.error(400, {}, data), Signal)
