"""The splitter finds the same events however the bytes are framed and cut."""

import itertools

import pytest

from proxy.wire.sse import MAX_EVENT, Splitter, _fields

STREAMS = {
    "plain": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "CR": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "mixed ends": (b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"]),
    "no space": (b"data:a\n\n", [b"a"]),
    "one space only": (b"data:  a\n\n", [b" a"]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "second mark is text": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [b"b"]),
    "comments": (b": ping\n\n:\n\ndata: a\n: in between\n\n", [b"a"]),
    "many lines": (b"data: a\ndata: b\n\n", [b"a\nb"]),
    "no colon": (b"data\n\ndata\ndata\n\ndata:test\n\n", [b"", b"\n", b"test"]),
    "other fields": (b"id: 1\nretry: x\nfoo: bar\ndata: a\n\n", [b"a"]),
    "blank runs": (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"]),
    "unfinished": (b"data: a\n\ndata: b\n", [b"a"]),
    "UTF-8": ("data: é漢😀\u2028\n\n".encode(), ["é漢😀\u2028".encode()]),
}


def split(data, cuts):
    splitter = Splitter()
    bounds = [0, *cuts, len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(bounds)]
    return [event.data for piece in pieces for event in splitter.feed(piece)]


@pytest.mark.parametrize("name", STREAMS)
def test_events_are_the_same_at_every_two_cuts_and_byte_by_byte(name):
    data, expected = STREAMS[name]
    assert split(data, range(1, len(data))) == expected
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            assert split(data, (first, second)) == expected


def test_every_event_comes_out_in_plain_framing():
    data = b"id: 7\r\nevent: error\r\ndata: a\r\ndata: b\r\n\r\ndata: c\n\n"
    events = Splitter().feed(data)
    assert [event.raw for event in events] == [b"data: a\ndata: b\n\n", b"data: c\n\n"]
    assert [event.name for event in events] == [b"error", b""]


@pytest.mark.parametrize(
    "block", [b"event: a\ndata: b", b"event: \ndata: ", b"event:  a\ndata:  b", b"data: b", b"data: "]
)
def test_the_quick_way_reads_the_usual_events_as_the_slow_way_does(block):
    assert Splitter().feed(block + b"\n\n") == [_fields(block)]


def test_the_rest_is_what_lacks_only_its_blank_line():
    splitter = Splitter()
    assert splitter.feed(b"data: a\n\ndata: b") != []
    assert [event.data for event in splitter.rest()] == [b"b"]
    assert splitter.rest() == []


@pytest.mark.fault("c7-huge")
@pytest.mark.parametrize("ended", [True, False])
def test_an_event_over_the_cap_ends_it_but_those_before_come_out(ended):
    splitter = Splitter()
    data = b"data: a\n\ndata: " + b"x" * MAX_EVENT + (b"\n\ndata: b\n\n" if ended else b"")
    assert [event.data for event in splitter.feed(data)] == [b"a"]
    assert splitter.overflow
    assert splitter.feed(b"\n\ndata: c\n\n") == []


@pytest.mark.fault("c7-huge")
def test_a_cap_reached_in_small_pieces_holds_no_more_than_the_cap():
    splitter = Splitter()
    for _ in range(MAX_EVENT // 1024 + 2):
        splitter.feed(b"x" * 1024)
    assert splitter.overflow
    assert splitter._held == []


def test_joining_costs_linear_work():
    """However small the pieces, the held bytes are joined once for each event."""
    splitter = Splitter()
    for _ in range(1000):
        assert splitter.feed(b"x") == []
    assert len(splitter._held) == 1000
    splitter.feed(b"\n\n")
    assert splitter._held == []
