"""Bodies and messages that come in countless pieces: they take no more memory than they are long."""

import tracemalloc

from proxy.server.frames import Assembler, Message, Op
from proxy.server.pieces import PIECES_MOST
from proxy.server.request import Request
from tests.server.sockets import masked

PIECES = 100_000
WHOLE = b"ab" * PIECES
"""A piece of two bytes is an object of forty."""


def kept_of(take):
    """The bytes of memory that are kept of `PIECES` pieces, each of which `take` gets by its number."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(PIECES):
            take(number)
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def small_enough(kept):
    return kept < 2 * len(WHOLE) + 64 * PIECES_MOST


def test_a_body():
    request = Request(len(WHOLE), lambda: None)
    assert small_enough(kept_of(lambda _: request.add([bytes(bytearray(b"ab"))])))
    assert request.body == WHOLE


def test_a_message():
    assembler, heard = Assembler(len(WHOLE)), []

    def take(number):
        op, last = Op.MORE if number else Op.TEXT, number == PIECES - 1
        heard.extend(assembler.feed(masked(op, b"ab", last=last)) if not last else ())

    assert small_enough(kept_of(take))
    assert assembler.feed(masked(Op.MORE, b"ab")) == [Message(Op.TEXT, WHOLE)]
    assert heard == []


def test_in_a_few_pieces_it_is_what_came():
    request = Request(100, lambda: None)
    assert request.body == b""
    only = b"all of it"
    request.add([only])
    assert request.body is only
    request.add([b", and ", b"more"])
    assert request.body == b"all of it, and more"
