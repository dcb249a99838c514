"""Faults before a request leaves: each is `unreachable` at `connect`, and not a byte of the call is told."""

import asyncio
import socket
import ssl

import pytest

from proxy.call import Kind, Phase
from proxy.upstream.client import open_upstreams
from proxy.upstream.reaching import DNS_S, Reacher, place_of
from tests.kit.scripted import scripted
from tests.kit.virtual import play
from tests.upstream.sending import GOOD, SOON_S, failure, fetch, started

NOT_REACHED = (Kind.UNREACHABLE, Phase.CONNECT)


@pytest.fixture
def dead():
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def resolver(answer):
    """Answers every question with the same error, or with silence."""

    async def resolve(host, port):
        if answer is None:
            await asyncio.Event().wait()
        raise answer

    return resolve


@pytest.mark.fault("a1-unknown")
@pytest.mark.parametrize(
    "answer",
    [
        socket.gaierror(socket.EAI_NONAME, "no such host"),
        socket.gaierror(socket.EAI_AGAIN, "try again"),
        OSError("no resolver"),
        None,
    ],
    ids=["unknown", "failing", "broken", "silent"],
)
async def test_a_name_that_does_not_resolve(answer):
    async with open_upstreams(Reacher(resolver(answer))) as out:
        assert await failure(fetch(out, "http://upstream.invalid/v1", SOON_S)) == NOT_REACHED


def found(*ports):
    """What a resolver says of a host with these ports, as if they were its addresses."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]


def port(up):
    return int(up.url.rpartition(":")[2])


@pytest.mark.fault("a1-empty")
async def test_a_name_without_an_address():
    async def resolve(host, port):
        return []

    async with open_upstreams(Reacher(resolve)) as out:
        assert await failure(fetch(out, "http://upstream.invalid/v1")) == NOT_REACHED


@pytest.mark.fault("a1-family")
async def test_a_dead_address_is_passed_over_for_the_next(dead):
    async with scripted() as up:

        async def resolve(host, number):
            return found(dead, dead, port(up))

        async with open_upstreams(Reacher(resolve)) as out:
            task = started(fetch(out, "http://upstream.invalid/v1"))
            conn = await up.accept()
            await conn.request()
            conn.send(GOOD)
            assert await task == (200, b"ok")


@pytest.mark.fault("a1-family")
async def test_a_name_with_dead_addresses_alone(dead):
    async def resolve(host, number):
        return found(dead, dead)

    async with open_upstreams(Reacher(resolve)) as out:
        assert await failure(fetch(out, "http://upstream.invalid/v1")) == NOT_REACHED


@pytest.mark.fault("a1-remembered")
async def test_a_name_is_remembered_and_its_failure_is_not():
    asked = []
    async with scripted() as up:

        async def resolve(host, number):
            asked.append(host)
            if len(asked) == 2:
                return found(port(up))
            raise socket.gaierror(socket.EAI_AGAIN, "try again")

        async with open_upstreams(Reacher(resolve)) as out:
            assert await failure(fetch(out, "http://upstream.invalid/v1")) == NOT_REACHED
            tasks = []
            for _ in range(3):  # a resolver that fails again is not asked
                tasks.append(started(fetch(out, "http://upstream.invalid/v1")))
                await (await up.accept()).request()
            for conn in up.connections:
                conn.send(GOOD)
            assert [await task for task in tasks] == [(200, b"ok")] * 3
    assert len(asked) == 2


async def test_a_name_is_asked_for_anew_when_what_is_known_of_it_is_old_and_others_are_forgotten_by_then():
    """An upstream that moves is found again, and addresses of names that no table has do not pile up."""
    asked = []

    async def resolve(host, number):
        asked.append(host)
        return found(number)

    reacher, moving, other = (
        Reacher(resolve),
        place_of("http://moving.test/v1"),
        place_of("http://other.test"),
    )
    await reacher._addresses(other, 0.0)
    for now, times in ((1.0, 1), (DNS_S, 1), (DNS_S + 0.9, 1), (DNS_S + 1.0, 2), (2 * DNS_S, 2)):
        await reacher._addresses(moving, now)
        assert asked.count("moving.test") == times, now
    assert set(reacher._known) == {("moving.test", 80)}


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "no-such-host.invalid", "ü" * 70])
async def test_a_name_that_cannot_be(out, host):
    assert await failure(fetch(out, f"http://{host}/v1")) == NOT_REACHED


@pytest.mark.fault("a3-black-hole")
async def test_a_host_that_takes_no_connection(out):
    """The queue of a listening socket is full, so that a new connection is neither taken nor refused."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        full = [socket.socket() for _ in range(4)]
        for each in full:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert await failure(fetch(out, url, SOON_S)) == NOT_REACHED
        for each in full:
            each.close()


@pytest.mark.fault("a3-black-hole")
def test_a_black_hole_costs_exactly_the_time_to_connect():
    """A name that resolves for ever, on virtual time."""

    async def story():
        async with open_upstreams(Reacher(resolver(None))) as out:
            assert await failure(fetch(out, "http://upstream.invalid/v1", 3.0)) == NOT_REACHED
        return asyncio.get_running_loop().time()

    assert play(story()) == 3.0


def server_side(folder, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / "key.pem")
    return context


def trusting(monkeypatch, folder, name):
    """The way out of a process that was started with an authority of its own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / f"{name}.pem"))
    return open_upstreams()


async def test_a_certificate_that_holds(certificates, monkeypatch):
    """So that the refusals below are known to be about what they say."""
    way_out = trusting(monkeypatch, certificates, "good")
    async with way_out as out, scripted(server_side(certificates, "good")) as up:
        task = started(fetch(out, up.url))
        conn = await up.accept()
        await conn.request()
        conn.send(GOOD)
        assert await task == (200, b"ok")


@pytest.mark.fault("a4-certificate")
@pytest.mark.parametrize(
    ("name", "trusted"), [("good", False), ("elsewhere", True), ("expired", True)], ids=str
)
async def test_a_certificate_that_does_not_hold(certificates, monkeypatch, name, trusted):
    way_out = trusting(monkeypatch, certificates, name) if trusted else open_upstreams()
    async with way_out as out, scripted(server_side(certificates, name)) as up:
        assert await failure(fetch(out, up.url)) == NOT_REACHED
        for conn in up.connections:
            assert await conn.some() == b""


@pytest.mark.fault("a4-handshake")
async def test_a_version_of_tls_that_is_too_old(certificates, monkeypatch):
    context = server_side(certificates, "good")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    way_out = trusting(monkeypatch, certificates, "good")
    async with way_out as out, scripted(context) as up:
        assert await failure(fetch(out, up.url)) == NOT_REACHED
        assert up.connections == []


@pytest.mark.fault("a4-handshake")
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", None])
async def test_a_handshake_that_fails(out, answer):
    """Closed, answered in plain text, or left unanswered: only the client's hello was ever sent."""
    async with scripted() as up:
        task = started(fetch(out, up.url.replace("http", "https"), 5.0 if answer is not None else SOON_S))
        conn = await up.accept()
        hello = await conn.some()
        if answer is not None:
            conn.send(answer)
            conn.close()
        assert await failure(task) == NOT_REACHED
        assert hello.startswith(b"\x16\x03")
        assert b"POST" not in hello
        assert len(up.connections) == 1


@pytest.mark.fault("c11-connect")
async def test_cancelled_within_the_handshake(out):
    async with scripted() as up:
        task = started(fetch(out, up.url.replace("http", "https")))
        conn = await up.accept()
        await conn.some()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await conn.eof()
