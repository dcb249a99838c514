"""Heads that come in pieces, and behind one another in one read: each is measured alike."""

import pytest

from proxy.server.incoming import FIELD_BYTES, HEAD_BYTES, UNTOLD_BYTES, Incoming, Malformed

FIRST = b"POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"


def read(*reads: bytes) -> list[bytes]:
    """The targets of the requests in these reads. Raises `Malformed`."""
    found = []
    incoming = Incoming(1 << 20, lambda: None, lambda request: found.append(request.target))
    for data in reads:
        incoming.feed(data)
    return found


def head(size: int, *, fields: int = 1) -> bytes:
    """A head with so many fields of so many bytes each, without its end."""
    lines = b"".join(b"x-%d: %b\r\n" % (at, b"z" * (size - 3)) for at in range(fields))
    return b"GET /second HTTP/1.1\r\nHost: x\r\n" + lines


@pytest.mark.parametrize("before", [b"", FIRST, FIRST * 3], ids=["alone", "behind one", "behind three"])
@pytest.mark.parametrize("last", [b"\r\n", b"y: 1\r\n\r\n"])
def test_a_head_is_measured_whichever_read_it_began_in(before, last):
    fits, too_long = head(FIELD_BYTES), head(FIELD_BYTES + 1)
    assert read(before + fits, last)[-1] == b"/second"
    assert read(before + fits[:-100], fits[-100:] + last)[-1] == b"/second"
    for cut in (1, len(too_long) // 2, len(too_long)):
        with pytest.raises(Malformed):
            read(before + too_long[:cut], too_long[cut:] + last)
    for large in (head(8000, fields=5), head(200_000), b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n"):
        assert len(large) > FIELD_BYTES
        with pytest.raises(Malformed):
            read(before + large, last)


def test_bodies_of_reads_before_are_not_taken_for_a_head():
    body = b"b" * (4 * UNTOLD_BYTES)
    first = b"POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    second = head(100, fields=100)
    assert len(second) < HEAD_BYTES
    assert read(first + body + second[:10], second[10:], b"\r\n") == [b"/first", b"/second"]


def test_trailers_are_in_no_head_of_the_next_request():
    first = b"POST /first HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = []
    incoming = Incoming(1 << 20, lambda: None, found.append)
    incoming.feed(first + b"0\r\nAuthorization: a\r\nb: 2\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n")
    second = found[-1]
    assert second.target == b"/second"
    assert second.headers.get("host") == "x"
    assert "authorization" not in second.headers
    assert "b" not in second.headers


def test_what_the_parser_keeps_to_itself_has_an_end():
    endless = [b"GET /" + b"a" * 1000, *[b"a" * 1000] * 100]
    with pytest.raises(Malformed):
        read(FIRST, *endless)
