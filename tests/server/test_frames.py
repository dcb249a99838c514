"""Frames: whole, byte by byte and cut at random; and everything that is none."""

import random

import pytest

from proxy.server.frames import (
    FRAMES_AT_ONCE,
    NO_CODE,
    NOT_UTF8,
    PROTOCOL_ERROR,
    TOO_BIG,
    Assembler,
    Malformed,
    Message,
    Op,
    closing,
    code_of,
    frame,
)
from tests.server.sockets import MASK, masked

MOST = 100_000


def test_the_standard_s_own_example():
    """RFC 6455, 5.7: "Hello", masked and not."""
    assert Assembler(MOST).feed(bytes.fromhex("818537fa213d7f9f4d5158")) == [Message(Op.TEXT, b"Hello")]
    assert frame(Op.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")


SAID = b"".join(
    (
        masked(Op.TEXT, b"one"),
        masked(Op.TEXT, b"in ", last=False),
        masked(Op.PING, b"beat"),
        masked(Op.MORE, b"", last=False),
        masked(Op.MORE, "pieces \N{SNOWMAN}".encode()),
        masked(Op.TEXT),
        masked(Op.BINARY, bytes(range(256)) * 3),
        masked(Op.TEXT, b"x" * 70_000),
        masked(Op.PONG),
        masked(Op.CLOSE, (1000).to_bytes(2) + b"bye"),
    )
)
HEARD = [
    Message(Op.TEXT, b"one"),
    Message(Op.PING, b"beat"),
    Message(Op.TEXT, "in pieces \N{SNOWMAN}".encode()),
    Message(Op.TEXT, b""),
    Message(Op.BINARY, bytes(range(256)) * 3),
    Message(Op.TEXT, b"x" * 70_000),
    Message(Op.PONG, b""),
    Message(Op.CLOSE, b"\x03\xe8bye"),
]


def cuts():
    yield [SAID]
    yield [SAID[at : at + 1] for at in range(len(SAID))]
    for seed in range(20):
        dice = random.Random(seed)
        places = sorted(dice.sample(range(1, len(SAID)), 30))
        yield [SAID[a:b] for a, b in zip([0, *places], [*places, len(SAID)], strict=True)]


@pytest.mark.parametrize("pieces", list(cuts()))
def test_messages_are_the_same_however_they_are_cut(pieces):
    assembler = Assembler(MOST)
    heard = [message for piece in pieces for message in assembler.feed(piece)]
    assert heard == HEARD
    assert not assembler.halfway


def test_it_knows_that_it_is_halfway():
    for halfway in (b"\x81", masked(Op.TEXT, b"abc")[:-1], masked(Op.TEXT, b"abc", last=False)):
        assembler = Assembler(MOST)
        assert assembler.feed(halfway) == []
        assert assembler.halfway


BROKEN = {
    "not masked": (frame(Op.TEXT, b"x"), PROTOCOL_ERROR),
    "a reserved bit": (b"\xc1\x80" + MASK, PROTOCOL_ERROR),
    "an unknown kind": (masked(3), PROTOCOL_ERROR),
    "an unknown control frame": (masked(11), PROTOCOL_ERROR),
    "a ping that is cut": (masked(Op.PING, last=False), PROTOCOL_ERROR),
    "a ping that is too long": (masked(Op.PING, b"x" * 126), PROTOCOL_ERROR),
    "more of nothing": (masked(Op.MORE, b"x"), PROTOCOL_ERROR),
    "a text within a text": (masked(Op.TEXT, b"x", last=False) + masked(Op.TEXT, b"x"), PROTOCOL_ERROR),
    "not utf-8": (masked(Op.TEXT, b"\xff"), NOT_UTF8),
    "half a character": (masked(Op.TEXT, "é".encode()[:1]), NOT_UTF8),
    "too long": (masked(Op.TEXT, b"x" * (MOST + 1)), TOO_BIG),
    "too long by its head": (b"\x81\xff" + b"\x7f" + b"\xff" * 7 + MASK, TOO_BIG),
    "too long in pieces": (
        masked(Op.TEXT, b"x" * MOST, last=False) + masked(Op.MORE, b"x"),
        TOO_BIG,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_frame_is_refused_with_its_code(case):
    raw, code = BROKEN[case]
    for pieces in ([raw], [raw[at : at + 1] for at in range(len(raw))]):
        assembler = Assembler(MOST)
        with pytest.raises(Malformed) as refused:
            for piece in pieces:
                assembler.feed(piece)
        assert refused.value.code == code


def test_a_message_too_long_is_refused_before_it_has_come():
    with pytest.raises(Malformed):
        Assembler(10).feed(b"\x81\x8b" + MASK)


def test_a_close_frame_has_a_code_that_may_be_sent_or_none():
    assert code_of(b"") == NO_CODE
    assert [code_of(code.to_bytes(2)) for code in (1000, 1001, 1011, 3000, 4999)] == [
        1000, 1001, 1011, 3000, 4999,
    ]  # fmt: skip
    for bad in (b"\x03", *(code.to_bytes(2) for code in (0, 999, 1004, 1005, 1006, 1015, 2000, 5000, 65535))):
        with pytest.raises(Malformed):
            code_of(bad)
    with pytest.raises(Malformed):
        code_of((1000).to_bytes(2) + b"\xff")


def test_a_reason_never_makes_a_close_frame_too_long():
    assert len(closing(1000, "x" * 500)) == 2 + 125


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_what_a_server_sends_is_not_masked_and_says_its_length(size):
    made = frame(Op.TEXT, b"x" * size)
    assert made[1] & 0x80 == 0
    assert made.endswith(b"x" * size)
    lengths = {0: made[1] == 0, 125: made[1] == 125, 126: made[1:4] == b"\x7e\x00\x7e"}
    lengths |= {65_535: made[1:4] == b"\x7e\xff\xff", 65_536: made[1:10] == b"\x7f" + (65_536).to_bytes(8)}
    assert lengths.get(size, True)


def test_of_a_read_full_of_small_frames_only_so_many_are_read_at_once():
    assembler, count = Assembler(MOST), 3 * FRAMES_AT_ONCE
    heard = assembler.feed(b"".join(masked(Op.PING, b"%d" % number) for number in range(count)))
    assert len(heard) == FRAMES_AT_ONCE
    while assembler.behind:
        more = assembler.feed(b"")
        assert 0 < len(more) <= FRAMES_AT_ONCE
        heard += more
    assert heard == [Message(Op.PING, b"%d" % number) for number in range(count)]
