"""Plain pieces by their template: taken for what they are to the byte, and for nothing else."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.wire import openai_stream
from proxy.wire.counts import Tally
from proxy.wire.openai_stream import Expected, StreamReader
from proxy.wire.template import template_of

HEAD = b'{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":%d,"delta":{'
PLAIN = b"data: " + HEAD % 0 + b'"content":"%b"},"logprobs":null,"finish_reason":null}]}\n\n'
COUNTED = PLAIN.replace(b"}]}", b'}],"usage":null}')
PADDED = COUNTED.replace(b"}\n\n", b',"obfuscation":"aZ3"}\n\n')
BEGIN = b"data: " + HEAD % 0 + b'"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n'
END = b"data: " + HEAD % 0 + b'},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
LATE = PLAIN.replace(b'"logprobs"', b'"content":"%b","logprobs"')
BOTH = PLAIN.replace(b"}]}", b'},{"index":1,"delta":{"content":"x"}}]}')
TWICE = PLAIN.replace(b'"%b"}', b'"%b","content":"x"}')
TELLING = PLAIN.replace(b"}]}", b'}],"x_groq":{"usage":{"prompt_tokens":1,"completion_tokens":1}}}')
SHAPES = (
    PLAIN,
    COUNTED,
    PADDED,
    BOTH,
    BEGIN,
    b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n',
    LATE.replace(b'"content":"%b"},"content"', b'},"content"'),
    PADDED.replace(b"aZ3", b'a\\"'),
    PADDED.replace(b'"aZ3"', b"null"),
    TWICE,
    TWICE.replace(b'"x"', b"null"),
    PLAIN.replace(b'"index":0', b'"index":1'),
    PLAIN.replace(b'"created":1', b'"created":2'),
    PLAIN.replace(b'"delta":{', b'"delta":{"role":"assistant",'),
    PLAIN.replace(b'"%b"}', b'"%b","reasoning_content":"hm"}'),
    PLAIN.replace(b'"%b"}', b'"%b","tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}'),
    PLAIN.replace(b'"%b"}', b'"%b","refusal":null}'),
    PLAIN.replace(b'"content":"', b'"content": "'),
    PLAIN.replace(b'"content":"', b'"say\\"content":"'),
    PLAIN.replace(b"data: ", b"data:"),
    PLAIN.replace(b"data: ", b"event: error\ndata: "),
    PLAIN.replace(b"data: ", b"event: x\ndata: "),
    PLAIN.replace(b"\n\n", b"\r\n\r\n"),
    PLAIN.replace(b"\n\n", b"\r\r"),
    TELLING,
    PLAIN.replace(b"}]}", b'}],"usage":{"prompt_tokens":9,"completion_tokens":1}}'),
    PLAIN.replace(b"}]}", b'}],"error":{"message":"no"}}'),
    PLAIN.replace(b"}]}", b'}],"token_ids":[1]}'),
    PLAIN.replace(b'"finish_reason":null', b'"finish_reason":"length"'),
)
"""What upstreams send, and what nobody should."""
TEXTS = (
    b"a",
    b" word",
    b"",
    b"\\n",
    b"\\",
    b'"',
    b'\\"},\\"x',
    b'","content":"',
    b'"},"logprobs":null,"finish_reason":"stop"}]}\n\n',
    b'"},"finish_reason":null}],"error":{"message":"no"}}\n\ndata: {"a":"',
    b"\x00",
    b"\n\n",
    b"\xff",
    b"\xc3\xa9",
    b"\\ud83d",
    b"\\ud83d\\ude00",
    b"\\u0000",
    b',\\"usage\\":null',
    b"x and more",
)

EVENTS = st.builds(
    lambda shape, text, times: (shape % text if shape.count(b"%b") == 1 else shape) * times,
    st.sampled_from(SHAPES),
    st.sampled_from(TEXTS) | st.text(max_size=5).map(lambda text: orjson.dumps(text)[1:-1]),
    st.integers(1, 2),
)


def made_reader(**expected):
    return StreamReader(Expected(40, **{"include_usage": False, "choices": 2, **expected}))


def learned(event):
    """The template of an event."""
    return template_of(event, orjson.loads(event.removeprefix(b"data: ")), shortens=False)


def said(template, data):
    """(bytes of text, pieces) of what fits; None of what does not, which must leave no trace."""
    tally = Tally()
    out = template.take(data, tally)
    assert out in (b"", data)
    assert out or tally == Tally()
    return (tally.output_bytes, tally.pieces) if out else None


def seen_of(reader):
    return reader.content, reader.ended, reader.failure, reader.usage


@settings(max_examples=600, deadline=None, derandomize=True)
@example([], [PLAIN % b"a", TELLING % b"a" * 2], [], False, False)
@given(
    st.lists(EVENTS, max_size=6),
    st.lists(EVENTS, max_size=3),
    st.lists(st.integers(0, 900), max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_a_stream_is_the_same_with_templates_as_read_in_full(pieces, last, cuts, counts, strips):
    extras = frozenset({"token_ids", "obfuscation"}) if strips else frozenset()
    expected = {"include_usage": counts, "extras": extras}
    rest = b"".join(last) + END
    bounds = sorted({0, len(rest), *(cut for cut in cuts if cut < len(rest))})
    fed = [*pieces, *(rest[a:b] for a, b in pairwise(bounds))]
    reader, plainly = made_reader(**expected), made_reader(**expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_stream, "template_of", lambda *_, **__: None)
        known = [(plainly.feed(data), seen_of(plainly)) for data in fed] + [plainly.finish()]
    assert [(reader.feed(data), seen_of(reader)) for data in fed] + [reader.finish()] == known
    assert seen_of(reader) == seen_of(plainly)


@pytest.mark.parametrize("shape", [PLAIN, COUNTED, PADDED], ids=["plain", "counted", "padded"])
def test_what_differs_in_its_text_alone_fits(shape):
    template = learned(shape % b"Hello")
    assert said(template, shape % b"you") == (3, 1)
    assert said(template, shape % b"\\n\\u00e9") == (3, 1)
    assert said(template, shape % b"one" + shape % b"and two") == (10, 2)
    assert said(template, (shape % b"x").replace(b"aZ3", b"b")) == (1, 1)


@pytest.mark.parametrize("text", [b"", b'"', b"\\", b"\\x", b"\n", b"\0", b"\xff", b"\\ud83d", b'","a":"'])
def test_what_is_no_sound_text_does_not_fit(text):
    for shape in (PLAIN, COUNTED, PADDED):
        template = learned(shape % b"Hello")
        assert said(template, shape % text) is None
        assert said(template, shape % b"x" + shape % text) is None
        assert said(template, shape % b"x" + shape % text + shape % b"y") is None


@pytest.mark.parametrize("value", [b"5", b"null", b"[]", b'{"a":"b"}', b'"x', b'x"', b"x"])
def test_what_is_no_text_between_others_does_not_fit(value):
    for shape in (PLAIN, COUNTED, PADDED):
        event = shape.replace(b'"%b"', value)
        assert said(learned(shape % b"Hello"), shape % b"x" + event + shape % b"y") is None


@pytest.mark.parametrize("space", [b" ", b"\t", b"\n", b"\n\n", b"\r\r"])
def test_white_space_beside_a_text_does_not_fit_though_json_bears_it(space):
    for shape in (PLAIN, COUNTED, PADDED):
        template = learned(shape % b"Hello")
        for spaced in (shape.replace(b'"%b"', b'"%b"' + space), shape.replace(b'"%b"', space + b'"%b"')):
            assert said(template, spaced % b"x") is None
            assert said(template, spaced % b"x" + shape % b"y") is None
            assert said(template, shape % b"x" + spaced % b"y" + shape % b"z") is None


@pytest.mark.parametrize(
    "data",
    [
        END,
        BEGIN,
        COUNTED % b"x",
        (PLAIN % b"x")[:-1],
        (PLAIN % b"x") + b"data: ",
        b": ping\n\n" + PLAIN % b"x",
        b"\n" + PLAIN % b"x",
        PLAIN % b"x" + END[: END.index(b"data: [")] + PLAIN % b"x",
        PLAIN % (b"x" * (1 << 20)),
    ],
)
def test_what_differs_in_more_does_not_fit(data):
    assert said(learned(PLAIN % b"Hello"), data) is None


@pytest.mark.parametrize("padding", [b"", b'"', b"\\", b" ", b'x","error":"'])
def test_padding_that_is_more_than_padding_does_not_fit(padding):
    template = learned(PADDED % b"Hello")
    padded = (PADDED % b"x").replace(b"aZ3", padding)
    assert said(template, padded) is None
    assert said(template, PADDED % b"x" + padded + PADDED % b"x") is None


def test_padding_that_does_not_end_does_not_fit():
    endless = (PADDED % b"x").replace(b'"aZ3"', b'"aZ3')
    assert said(learned(PADDED % b"Hello"), endless + PADDED % b"x") is None


@pytest.mark.parametrize(
    "event",
    [
        BOTH % b"a",
        TWICE % b"a",
        PLAIN.replace(b'{"id"', b'{"say\\"content":"a","id"') % b"a",
        TWICE.replace(b'"x"', b'"a and more"') % b"a",
        LATE.replace(b'"content":"%b"},', b'"content":null},') % b"a",
        PLAIN.replace(b'"content":"', b'"say\\"content":"') % b"a",
        PLAIN.replace(b'"delta":{', b'"delta":{"role":"assistant",') % b"a",
        PLAIN.replace(b'"%b"}', b'"%b","refusal":"no"}') % b"a",
        PLAIN.replace(b'"finish_reason":null', b'"finish_reason":"stop"') % b"a",
        PLAIN % b"a\\nb",
        BEGIN,
    ],
)
def test_what_brings_more_than_a_text_makes_no_template(event):
    made = learned(event)
    assert made is None or said(made, event) is None


@pytest.mark.parametrize("left", [b"data: ", b": ping\n", b"data: {}\r"])
def test_what_goes_on_where_something_was_left_is_no_event_of_its_own(left):
    reader, plainly = made_reader(), made_reader()
    for data in (BEGIN, PLAIN % b"one", left):
        reader.feed(data)
    plainly.feed(BEGIN + PLAIN % b"one")
    assert reader.feed(PLAIN % b"two") == plainly.feed(left + PLAIN % b"two")
    assert seen_of(reader) == seen_of(plainly)


def test_a_piece_that_does_not_say_of_which_answer_it_is_is_told_so_once_that_is_known():
    reader = made_reader()
    nameless = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    reader.feed(b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n')
    assert reader.feed(nameless) == reader.feed(nameless) == nameless
    reader.feed(BEGIN)
    assert orjson.loads(reader.feed(nameless)[6:])["id"] == "c1"


def test_an_upstream_that_never_says_the_same_twice_costs_a_few_templates_and_no_more(monkeypatch):
    made = []
    monkeypatch.setattr(openai_stream, "template_of", lambda raw, _, **__: made.append(raw))
    reader = made_reader()
    for number in range(50):
        reader.feed(PLAIN.replace(b'"logprobs":null', b'"logprobs":{"n":%d}' % number) % b"x")
    assert len(made) == 8
