"""Calls with an `idempotency-key`: one call is made for all of them, and its answer is given again."""

import asyncio
import hashlib
import socket

import pytest

from proxy.call import Billed
from proxy.errors import AllFailed, Told, bad_request, unavailable
from proxy.ports import Grant
from proxy.server import calls
from proxy.server.kept import Bounds
from proxy.server.measured import Measured
from proxy.server.twins import Twins
from tests.server.running import CHAT, FakeClock, House, chat, opened
from tests.server.test_hangup import leave
from tests.server.twins import CUT, END, KEY, Scripted, ask, until

ONE, TWO, DONE = b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n"
BODY = b'{"id":"chatcmpl-1"}'


@pytest.fixture
async def story(house):
    house.answer = scripted = Scripted(house)
    yield scripted
    for line in house.lines:
        line.writer.transport.abort()
    await until(lambda: not house.twins._shared)
    assert not house.twins.bills._watched


def bounded(**bounds):
    """A house whose memory is small."""
    clock = FakeClock()
    house = House(clock=clock, twins=Twins(clock, Bounds(**bounds)))
    house.answer = Scripted(house)
    return house


async def test_twins_of_a_stream_get_the_same_events_of_one_call_each_with_its_own_request_id(house, story):
    first, telling = await story.joined(ask())
    telling.say(ONE)
    heads = [await first.head()]
    assert await first.chunk() == ONE
    second, _ = await story.joined(ask(), listeners=2)
    heads.append(await second.head())
    assert await second.chunk() == ONE
    telling.say(TWO, DONE, END)
    rests = [await first.chunks(), await second.chunks()]
    assert rests == [TWO + DONE] * 2
    assert len(house.calls) == 1
    ids = [headers["x-request-id"] for _, headers in heads]
    assert len(set(ids)) == 2
    assert ids[0] == telling.call.id
    assert all(headers["content-type"] == "text/event-stream" for _, headers in heads)
    assert not any("x-fallthrough-replayed" in headers for _, headers in heads)


async def test_twins_of_a_whole_answer_get_the_same_body_of_one_call(house, story):
    first, telling = await story.joined(ask({"stream": False}))
    second, _ = await story.joined(ask({"stream": False}), listeners=2)
    telling.say(BODY, END)
    replies = [await first.answer(), await second.answer()]
    assert [reply.body for reply in replies] == [BODY] * 2
    assert all(reply.headers["content-length"] == str(len(BODY)) for reply in replies)
    assert all(reply.headers["content-type"] == "application/json" for reply in replies)
    assert len({reply.headers["x-request-id"] for reply in replies}) == 2
    assert len(house.calls) == 1


async def test_an_old_caller_is_a_twin_as_good_as_another(house, story):
    line, telling = await story.joined(ask().replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    telling.say(ONE, DONE, END)
    await line.head()
    assert await line.reader.read() == ONE + DONE


@pytest.mark.parametrize(("stream", "steps"), [(True, (ONE, DONE)), (False, (BODY,))])
async def test_an_answer_is_given_again_without_a_call(house, story, stream, steps):
    told = await story.answered(ask({"stream": stream}), *steps, END)
    again = await house.send(ask({"stream": stream}))
    assert again.body == told.body == b"".join(steps)
    assert again.headers["x-fallthrough-replayed"] == "true"
    assert again.headers["x-fallthrough-upstream"] == "openai"
    assert again.headers["x-request-id"] != told.headers["x-request-id"]
    assert "x-ratelimit-remaining-requests" in told.headers
    assert "x-ratelimit-remaining-requests" not in again.headers
    assert len(house.calls) == 1


async def test_a_connection_goes_on_after_a_replay(house, story):
    await story.answered(ask({"stream": False}), BODY, END)
    line = await house.connect()
    for _ in range(3):
        line.send(ask({"stream": False}))
        assert (await line.answer()).body == BODY


async def test_without_a_key_every_call_is_made(house, story):
    plain = chat({"stream": True})
    for number in range(2):
        line = await house.connect()
        line.send(plain)
        (await story.telling(number)).say(ONE, END)
        assert (await line.answer()).body == ONE
    assert len(house.calls) == 2


@pytest.mark.parametrize("given", ["", "x" * 256, "caf\xe9", "a\tb"])
async def test_a_key_that_is_none_is_400(house, given):
    reply = await house.send(ask(key=given))
    assert (reply.status, reply.code) == (400, "bad_header")
    assert not house.calls


async def test_two_keys_are_400(house):
    reply = await house.send(ask(headers=[("idempotency-key", KEY)]))
    assert (reply.status, reply.code) == (400, "bad_header")


OTHER_QUESTIONS = {
    "body": {"body": {"temperature": 1}},
    "streamed or not": {"body": {"stream": False}},
    "upstream": {"headers": [("x-preferred-upstream", "vllm")]},
    "consent": {"headers": [("x-user-consent", "true")]},
}


@pytest.mark.parametrize("other", OTHER_QUESTIONS)
@pytest.mark.parametrize("ended", [False, True])
async def test_a_key_that_stands_for_another_question_is_422_and_no_call(house, story, other, ended):
    line, telling = await story.joined(ask())
    telling.say(ONE, *((END,) if ended else ()))
    if ended:
        await line.answer()
        await until(lambda: not house.twins._shared)
    reply = await house.send(ask(**OTHER_QUESTIONS[other]))
    assert (reply.status, reply.code) == (422, "idempotency_key_reused")
    assert reply.headers["x-should-retry"] == "false"
    assert len(house.calls) == 1


async def test_the_order_of_members_and_the_patience_of_a_caller_make_no_other_question(house, story):
    await story.answered(ask({"stream": False, "top_p": 1}), BODY, END)
    turned = dict(reversed({**CHAT, "stream": False, "top_p": 1}.items()))
    raw = ask(turned, headers=[("x-request-timeout", "5s"), ("x-stainless-retry-count", "1")])
    assert (await house.send(raw)).headers["x-fallthrough-replayed"] == "true"


async def test_a_large_question_is_compared_too(house, story):
    body = {"stream": False, "messages": [{"role": "user", "content": "x" * 600_000}]}
    await story.answered(ask(body), BODY, END)
    assert (await house.send(ask(body))).body == BODY
    body["messages"][0]["content"] += "y"
    assert (await house.send(ask(body))).status == 422


async def test_the_same_key_of_another_tenant_is_another_key(house, story):
    other = "ft-" + "f" * 48
    digest = hashlib.sha256(other.encode()).digest()
    house.keys.grants[digest] = Grant("key_2", "globex")
    await story.answered(ask({"stream": False}), BODY, END)
    line = await house.connect()
    line.send(chat({"stream": False}, key=other, headers=[("Idempotency-Key", KEY)]))
    (await story.telling(1)).say(b"{}", END)
    assert (await line.answer()).body == b"{}"
    assert [call.identity.tenant for call in house.calls] == ["acme", "globex"]


async def test_another_key_of_the_same_tenant_is_a_twin(house, story):
    other = "ft-" + "e" * 48
    house.keys.grants[hashlib.sha256(other.encode()).digest()] = Grant("key_3", "acme")
    await story.answered(ask({"stream": False}), BODY, END)
    raw = chat({"stream": False}, key=other, headers=[("Idempotency-Key", KEY)])
    assert (await house.send(raw)).body == BODY
    assert len(house.calls) == 1


# ── leaving ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["reset", "close", "half-close"])
async def test_if_the_first_leaves_the_call_goes_on_for_the_others(house, story, way):
    first, telling = await story.joined(ask())
    second, _ = await story.joined(ask(), listeners=2)
    telling.say(ONE)
    await first.head()
    leave(first, way)
    await until(lambda: telling.listeners == 1)
    telling.say(TWO, DONE, END)
    assert (await second.answer()).body == ONE + TWO + DONE
    assert telling.ended.result() == "ok"


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_when_the_last_one_leaves_the_call_is_cancelled(house, story, begun, stream):
    first, telling = await story.joined(ask({"stream": stream}))
    second, _ = await story.joined(ask({"stream": stream}), listeners=2)
    if begun:
        telling.say(ONE)
        await until(lambda: telling.caller.headers is not None)
    leave(first, "reset")
    await until(lambda: telling.listeners == 1)
    assert not telling.ended.done()
    leave(second, "close")
    assert await telling.ended == "caller_gone"
    await until(lambda: house.gate.live == 0)


async def test_a_call_that_everybody_left_may_have_been_paid_for(house, story):
    line, telling = await story.joined(ask())
    leave(line, "reset")
    await telling.ended
    reply = await house.send(ask())
    assert (reply.status, reply.code) == (409, "idempotency_conflict")
    assert reply.headers["x-should-retry"] == "false"
    assert len(house.calls) == 1
    assert (await house.send(ask({"temperature": 1}))).status == 422


async def test_one_that_was_left_before_anything_was_spent_is_made_anew(house, story):
    story.billed = Billed.NO
    line, telling = await story.joined(ask())
    leave(line, "reset")
    await telling.ended
    assert (await story.answered(ask(), ONE, END, number=1)).body == ONE


async def test_who_comes_while_a_call_that_was_left_is_settled_waits_for_what_it_came_to(house, story):
    story.slow_to_settle = True
    line, telling = await story.joined(ask())
    leave(line, "reset")
    await until(lambda: telling.listeners == 0)
    late = [await house.connect() for _ in range(2)]
    for each in late:
        each.send(ask())
    await until(lambda: house.gate.live == 3)
    assert len(house.calls) == 1
    story.billed, story.slow_to_settle = Billed.NO, False
    telling.settling.set()
    again = await story.telling(1)
    await until(lambda: again.listeners == 2)
    again.say(ONE, END)
    assert [(await each.answer()).body for each in late] == [ONE, ONE]
    assert len(house.calls) == 2


async def test_who_leaves_when_all_is_told_takes_nothing_from_the_others(house, story):
    story.slow_to_settle = True
    line, telling = await story.joined(ask())
    telling.say(ONE, END)
    assert (await line.answer()).body == ONE
    late = await house.connect()
    late.send(ask())
    await until(lambda: house.gate.live == 2)
    leave(line, "reset")
    await until(lambda: telling.listeners == 0)
    telling.settling.set()
    reply = await late.answer()
    assert (reply.body, reply.headers["x-fallthrough-replayed"]) == (ONE, "true")
    assert telling.ended.result() == "ok"


# ── failing ───────────────────────────────────────────────────────────────────────────────────────

FREE = {
    "ours": bad_request("no", param="messages"),
    "spent limit": unavailable("later", "ledger_unavailable", retry_after_s=1),
    "nobody": AllFailed(Told(502, "all failed", "server_error", "upstream_error", should_retry=False)),
}


@pytest.mark.parametrize("failure", FREE.values(), ids=FREE)
async def test_a_failure_that_cost_nothing_is_told_to_all_and_forgotten(house, story, failure):
    story.billed = Billed.NO
    first, telling = await story.joined(ask())
    second, _ = await story.joined(ask(), listeners=2)
    telling.say(failure)
    replies = [await first.answer(), await second.answer()]
    assert [reply.status for reply in replies] == [failure.told.status] * 2
    assert [reply.code for reply in replies] == [failure.told.code] * 2
    assert len({reply.headers["x-request-id"] for reply in replies}) == 2
    assert (await story.answered(ask(), ONE, END, number=1)).body == ONE


async def test_a_failure_that_may_have_cost_something_is_409_from_then_on(house, story):
    story.billed = Billed.UNKNOWN
    line, telling = await story.joined(ask())
    telling.say(AllFailed(Told(504, "too slow", "server_error", "upstream_timeout", should_retry=False)))
    assert (await line.answer()).status == 504
    assert (await house.send(ask())).code == "idempotency_conflict"
    assert len(house.calls) == 1


async def test_a_stream_that_broke_is_told_to_its_twins_and_not_again(house, story):
    first, telling = await story.joined(ask())
    second, _ = await story.joined(ask(), listeners=2)
    telling.say(ONE, CUT)
    bodies = [(await line.answer()).body for line in (first, second)]
    assert bodies[0] == bodies[1]
    assert b"upstream_broken" in bodies[0]
    assert (await house.send(ask())).status == 409


async def test_a_defect_is_500_for_every_twin_and_forgotten(house, story):
    story.billed = Billed.NO
    first, telling = await story.joined(ask())
    second, _ = await story.joined(ask(), listeners=2)
    telling.say(RuntimeError("canary-secret-in-error"))
    for line in (first, second):
        reply = await line.answer()
        assert (reply.status, reply.code) == (500, "internal_error")
        assert b"canary" not in reply.body
    assert (await story.answered(ask(), ONE, END, number=1)).status == 200


async def test_a_defect_that_nobody_is_left_to_hear_of_is_in_the_log(house, caplog):
    async def answer(caller, call):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise RuntimeError("while it was being settled")

    house.answer = answer
    line = await house.connect()
    line.send(ask())
    await until(lambda: house.calls)
    leave(line, "reset")
    await until(lambda: not house.twins._shared)
    (record,) = [record for record in caplog.records if record.name == "proxy.twins"]
    assert record.request_id == house.calls[0].id
    assert record.exc_info[0] is RuntimeError


async def test_a_story_without_an_answer_is_500(house):
    async def answer(caller, call):
        return None

    house.answer = answer
    assert (await house.send(ask())).status == 500


async def test_a_story_that_forgets_to_finish_is_cut(house):
    async def answer(caller, call):
        await caller.start(200, {})
        caller.write(ONE)

    house.answer = answer
    line = await house.connect()
    line.send(ask())
    await line.head()
    assert await line.reader.read() == b"9\r\ndata: 1\n\n\r\n"


# ── what is kept ──────────────────────────────────────────────────────────────────────────────────


async def test_an_answer_is_kept_for_ten_minutes_and_then_the_key_is_unknown(house, story):
    await story.answered(ask({"stream": False}), BODY, END)
    house.clock.now += 599.9
    assert (await house.send(ask({"stream": False}))).body == BODY
    house.clock.now += 0.2
    assert (await story.answered(ask({"stream": False}), b"{}", END, number=1)).body == b"{}"
    assert len(house.twins.kept) == 1


async def test_what_is_too_old_goes_with_any_next_call(house, story):
    await story.answered(ask({"stream": False}), BODY, END)
    assert house.twins.kept.held_bytes > 0
    house.clock.now += 600.1
    line = await house.connect()
    line.send(chat())
    (await story.telling(1)).say(BODY, END)
    await line.answer()
    assert (len(house.twins.kept), house.twins.kept.held_bytes) == (0, 0)


async def test_an_answer_that_had_to_make_room_is_409_and_the_newest_stays():
    async with opened(bounded(all_bytes=10_000)) as house:
        story = house.answer
        for number in range(3):
            await story.answered(ask(key=f"k{number}"), b"x" * 4000, END, number=number)
        statuses = [(await house.send(ask(key=f"k{number}"))).status for number in range(3)]
        assert statuses == [409, 200, 200]
        assert len(house.calls) == 3


async def test_the_oldest_key_is_forgotten_where_there_are_too_many():
    async with opened(bounded(keys=2)) as house:
        story = house.answer
        for number in range(3):
            await story.answered(ask(key=f"k{number}"), ONE, END, number=number)
        for number in (1, 2):
            assert (await house.send(ask(key=f"k{number}"))).headers["x-fallthrough-replayed"] == "true"
        assert (await story.answered(ask(key="k0"), TWO, END, number=3)).body == TWO


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_too_long_reaches_its_caller_and_is_409_afterwards(stream):
    async with opened(bounded(answer_bytes=100_000)) as house:
        steps = [b"y" * 60_000] * 3 if stream else [b"y" * 180_000]
        reply = await house.answer.answered(ask({"stream": stream}), *steps, END)
        assert reply.body == b"y" * 180_000
        assert house.twins.kept.held_bytes == 0
        assert (await house.send(ask({"stream": stream}))).status == 409


async def test_who_comes_when_the_start_of_a_stream_is_gone_is_409():
    async with opened(bounded(answer_bytes=100_000)) as house:
        line, telling = await house.answer.joined(ask())
        telling.say(*[b"y" * 60_000] * 3)
        await until(lambda: not telling.caller.from_start)
        assert (await house.send(ask())).code == "idempotency_conflict"
        telling.say(END)
        assert len((await line.answer()).body) == 180_000


async def test_no_answer_is_given_to_a_person_who_was_erased(house, story):
    person = {"stream": False, "user": "anna"}
    await story.answered(ask(person), BODY, END)
    line, telling = await story.joined(ask(person, key="k2"), number=1)
    house.twins.forget("acme", await house.keys.pseudonym("acme", "anna"))
    telling.say(BODY, END)
    assert (await line.answer()).body == BODY
    for key in (KEY, "k2"):
        assert (await house.send(ask(person, key=key))).status == 409
    assert house.twins.kept.held_bytes == 0


async def test_a_thousand_keys_with_large_answers_take_no_more_memory_than_there_is():
    """Told all at once, every one with more than its share; each caller still gets all of its own."""
    most, piece = 4 * 1024 * 1024, b"z" * 16_384
    async with opened(bounded(all_bytes=most, answer_bytes=1024 * 1024)) as house:

        async def answer(caller, call):
            await caller.start(200, {})
            for _ in range(8):
                await (caller.write(piece) or asyncio.sleep(0))
                peaks.append(house.twins.kept.held_bytes)
            await caller.finish()

        peaks, at_once = [], 50
        house.answer = answer
        for batch in range(0, 1000, at_once):
            raws = [ask(key=f"k{batch + number}") for number in range(at_once)]
            replies = await asyncio.gather(*map(house.send, raws))
            assert {len(reply.body) for reply in replies} == {8 * len(piece)}
        assert max(peaks) < most + at_once * 2 * 65_536


async def test_a_replay_that_nobody_reads_holds_next_to_nothing_of_its_own(monkeypatch):
    """However often an answer is asked for, what is not read waits where it is kept, and goes with it."""
    ways = []

    class Seen(Measured):
        def __init__(self, *given):
            super().__init__(*given)
            ways.append(self)

    monkeypatch.setattr(calls, "Measured", Seen)
    async with opened(bounded()) as house:
        await house.answer.answered(ask({"stream": False}), b"y" * 8_000_000, END)
        (kept,) = house.twins.kept._used.values()
        replay = kept.replay
        slow = [await slow_line(house) for _ in range(20)]
        for raw in slow:
            await asyncio.get_running_loop().sock_sendall(raw, ask({"stream": False}))
        await until(lambda: len(ways) == 21 and all(way._line.writing_paused for way in ways[1:]))
        assert all(way._line.transport.get_write_buffer_size() < 256 * 1024 for way in ways)
        house.twins.kept.grow(60_000_000)
        assert (replay.weight, len(house.calls)) == (0, 1)
        house.twins.kept.shrink(60_000_000)
        for raw in slow:
            got = await everything(raw)
            raw.close()
            assert len(got) < 8_000_000


# ── slow ones ─────────────────────────────────────────────────────────────────────────────────────


async def slow_line(house):
    """A connection whose receiving side takes little."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", house.port()))
    return raw


async def everything(raw):
    loop, got = asyncio.get_running_loop(), []
    try:
        while data := await loop.sock_recv(raw, 65_536):
            got.append(data)
            if data.endswith(b"\r\n0\r\n\r\n"):
                break
    except ConnectionResetError:
        pass
    return b"".join(got)


async def test_a_twin_who_falls_behind_the_bound_is_cut_off_and_slows_nobody():
    async with opened(bounded(answer_bytes=512 * 1024)) as house:
        story, loop = house.answer, asyncio.get_running_loop()
        quick, telling = await story.joined(ask())
        slow = await slow_line(house)
        await loop.sock_sendall(slow, ask())
        await until(lambda: telling.listeners == 2)
        pieces = [b"%07d " % number * 2048 for number in range(1024)]
        telling.say(*pieces, END)
        assert (await quick.answer()).body == b"".join(pieces)
        assert telling.ended.result() == "ok"
        got = await everything(slow)
        slow.close()
        assert pieces[0] in got
        assert not got.endswith(b"\r\n0\r\n\r\n")


async def test_a_lone_slow_caller_is_waited_for_and_gets_everything():
    async with opened(bounded(answer_bytes=128 * 1024)) as house:
        loop, slow = asyncio.get_running_loop(), await slow_line(house)
        await loop.sock_sendall(slow, ask())
        telling = await house.answer.telling()
        pieces = [b"%07d " % number * 2048 for number in range(512)]
        telling.say(*pieces, END)
        await until(lambda: telling.caller._waiter is not None)
        assert telling.caller.size < 6_000_000
        assert telling.caller.weight < 256 * 1024
        got = await everything(slow)
        slow.close()
        assert got.endswith(b"\r\n0\r\n\r\n")
        assert all(piece in got for piece in pieces[::64])


async def test_a_late_twin_catches_up_with_a_long_stream(house, story):
    first, telling = await story.joined(ask())
    events = [b"data: %d\n\n" % number for number in range(20_000)]
    telling.say(*events)
    await first.head()
    await until(lambda: telling.caller.size == sum(map(len, events)))
    second, _ = await story.joined(ask(), listeners=2)
    telling.say(END)
    assert (await second.answer()).body == await first.chunks() == b"".join(events)


# ── the end ───────────────────────────────────────────────────────────────────────────────────────


async def test_twins_are_live_calls(house, story):
    first, telling = await story.joined(ask())
    second, _ = await story.joined(ask(), listeners=2)
    assert house.gate.live == 2
    drain = asyncio.ensure_future(house.listeners.drain(3600))
    await until(lambda: house.gate.draining)
    telling.say(ONE, END)
    for line in (first, second):
        assert (await line.answer()).body == ONE
    await drain


async def test_a_drain_cuts_twins_as_it_cuts_calls(house, story):
    lines = [(await story.joined(ask(), listeners=number))[0] for number in (1, 2, 3)]
    telling = story.tellings[0]
    telling.say(ONE)
    for line in lines:
        await line.head()
    await house.listeners.drain(0)
    assert telling.ended.result() == "shutdown"
    for line in lines:
        rest = await line.reader.read()
        assert rest.startswith(b"9\r\ndata: 1\n\n\r\n")
        assert b'"code":"shutdown"' in rest
        assert not rest.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_twins_cut_before_the_answer_began_are_told_503(house, story, stream):
    lines = [(await story.joined(ask({"stream": stream}), listeners=number))[0] for number in (1, 2)]
    await house.listeners.drain(0)
    for line in lines:
        reply = await line.answer()
        assert (reply.status, reply.code) == (503, "draining")


async def test_a_replay_is_turned_away_while_draining(house, story):
    await story.answered(ask(), ONE, END)
    house.gate.close()
    assert (await house.send(ask())).code == "draining"
