"""What is kept of calls with an `idempotency-key`: how long, how much, and for how slow a caller."""

import asyncio

import pytest

from proxy.server import calls
from proxy.server.measured import Measured
from tests.server.running import chat, opened
from tests.server.test_slow_reader import slow_line
from tests.server.twins import BODY, END, KEY, ONE, TWO, ask, bounded, everything, until


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
        (reader,) = telling.caller._readers
        await until(lambda: reader.taken == 180_000)
        telling.say(b"y")
        await until(lambda: reader.taken == 180_001)
        assert telling.caller.weight < 1000
        telling.say(END)
        assert len((await line.answer()).body) == 180_001


@pytest.mark.parametrize("everybody", [False, True])
async def test_no_answer_is_given_to_a_person_who_was_erased(house, story, everybody):
    person = {"stream": False, "user": "anna"}
    await story.answered(ask(person), BODY, END)
    line, telling = await story.joined(ask(person, key="k2"), number=1)
    if everybody:
        house.twins.forget_all()
    else:
        house.twins.forget("acme", await house.keys.pseudonym("acme", "anna"))
    telling.say(BODY, END)
    assert (await line.answer()).body == BODY
    for key in (KEY, "k2"):
        assert (await house.send(ask(person, key=key))).status == 409
    assert house.twins.kept.held_bytes == 0


async def test_a_thousand_keys_with_large_answers_take_no_more_memory_than_there_is():
    """Told all at once, every one with more than its share; each caller still gets all of its own."""
    most, piece, pieces = 1024 * 1024, b"z" * 4096, 64
    async with opened(bounded(all_bytes=most, answer_bytes=1024 * 1024)) as house:

        async def answer(caller, call):
            await caller.start(200, {})
            for _ in range(pieces):
                await (caller.write(piece) or asyncio.sleep(0))
                peaks.append(house.twins.kept.held_bytes)
            await caller.finish()

        peaks, at_once = [], 50
        house.answer = answer
        for batch in range(0, 1000, at_once):
            raws = [ask(key=f"k{batch + number}") for number in range(at_once)]
            replies = await asyncio.gather(*map(house.send, raws))
            assert {len(reply.body) for reply in replies} == {pieces * len(piece)}
        assert max(peaks) < most + at_once * (65_536 + 4 * len(piece))


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
