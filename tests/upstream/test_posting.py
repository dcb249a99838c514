"""A document posted to an address: what goes out, and that nothing but a status comes back."""

import pytest

from proxy.call import Kind, Phase, UpstreamLost
from proxy.upstream.posting import post
from proxy.upstream.reaching import Reacher
from tests.kit.scripted import scripted
from tests.upstream.sending import started


@pytest.mark.parametrize(
    ("rest", "target"),
    [("", b"/"), ("/", b"/"), ("?a=b", b"/?a=b"), ("/x/y?a=b&c=%20", b"/x/y?a=b&c=%20"), ("//x", b"//x")],
)
async def test_an_address_is_asked_for_as_it_was_written(rest, target):
    async with scripted() as up:
        task = started(post(Reacher(), up.url + rest, b"{}"))
        connection = await up.accept()
        head, _, body = (await connection.request()).partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        assert line == b"POST %b HTTP/1.1" % target
        assert {b"content-type: application/json", b"content-length: 2"} <= set(fields)
        assert body == b"{}"
        connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert await task == 204
        await connection.eof()  # it is not kept


async def test_the_status_is_enough():
    async with scripted() as up:
        task = started(post(Reacher(), up.url, b"{}"))
        connection = await up.accept()
        await connection.request()
        connection.send(b"HTTP/1.1 500 No\r\ncontent-length: 1000000\r\n\r\n")
        assert await task == 500
        await connection.eof()


@pytest.mark.parametrize("data", [b"", b"nonsense\r\n\r\n"])
async def test_no_status_is_told_as_such(data):
    async with scripted() as up:
        task = started(post(Reacher(), up.url, b"{}"))
        connection = await up.accept()
        await connection.request()
        connection.send(data)
        connection.close()
        with pytest.raises(UpstreamLost) as caught:
            await task
    assert caught.value.signal.kind in {Kind.RESET, Kind.BAD_ANSWER}
    assert caught.value.signal.phase is Phase.SENT


@pytest.mark.parametrize("address", ["https:///x", "http://ex ample/x", "ftp://host/x", "http://host:x/"])
async def test_an_address_that_leads_nowhere_is_told_as_such(address):
    with pytest.raises(UpstreamLost) as caught:
        await post(Reacher(), address, b"{}")
    assert caught.value.signal.kind is Kind.UNREACHABLE
