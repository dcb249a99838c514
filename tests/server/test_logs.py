"""The log: one event one line, and no prompt, answer or key in it or in an error, whatever fails."""

import io
import json
import logging
import os

import pytest

from proxy.server.logs import configure_logging
from tests.server.running import KEY, chat, http

CANARIES = ("canary", KEY, "s3cr3t")


@pytest.fixture
def log():
    """The process's log as configured in production, into memory."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    stream = io.StringIO()
    configure_logging(stream)
    yield stream
    root.handlers[:], root.level, logging.raiseExceptions = before


def lines(log):
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def test_a_defect_is_a_500_with_an_id_that_finds_it_in_the_log(house, log):
    async def answer(caller, call):
        raise KeyError(call.body["messages"][0]["content"])

    house.answer = answer
    reply = await house.send(chat(headers=[("x-client-request-id", "trace-42")]))
    assert (reply.status, reply.code, reply.headers["x-should-retry"]) == (500, "internal_error", "false")
    (line,) = lines(log)
    assert line["request_id"] == reply.headers["x-request-id"]
    assert line["request_id"] in reply.json["error"]["message"]
    assert line["client_request_id"] == "trace-42"
    assert line["error"]["type"] == "KeyError"
    assert any("answer" in place for place in line["error"]["at"])
    assert "canary" not in log.getvalue() + reply.body.decode()


async def test_no_canary_ever_shows(house, log):
    """Prompts, keys and exception texts stay out of the log and of every error, on every way to fail."""
    logging.getLogger().setLevel(logging.DEBUG)

    async def fail_late(caller, call):
        await caller.start(200, {})
        caller.write(b"data: 1\n\n")
        raise RuntimeError("canary")

    async def fail_early(caller, call):
        raise ValueError("canary") from RuntimeError("canary")

    async def forget(caller, call):
        return

    shown = b""
    for answer in (fail_early, forget, fail_late):
        house.answer = answer
        for stream in (True, False):
            line = await house.connect()
            line.send(chat({"stream": stream}))
            try:
                shown += (
                    await line.reader.read() if answer is fail_late and stream else (await line.answer()).body
                )
            except ConnectionResetError:
                continue
    house.keys.broken = True
    requests = (
        chat(),
        chat(key="s3cr3t"),
        http("POST", "/v1/chat/completions?canary=s3cr3t", b'{"canary'),
        http("POST", "/v1/canary"),
        b"POST /canary\0 HTTP/1.1\r\nAuthorization: s3cr3t\r\n\r\n",
        chat(headers=[("Content-Length", "99"), ("X", "s3cr3t")]),
    )
    for raw in requests:
        shown += (await house.send(raw)).body
    for canary in CANARIES:
        assert canary not in log.getvalue()
        assert canary.encode() not in shown


def test_one_event_is_one_line_of_ascii_whatever_is_in_it(log):
    nasty = "a\r\nb\x1b[31m\u202e\ud800 \udcff\u2028\0"
    logging.getLogger("x").warning("it is %s", nasty, extra={"model": nasty, "count": 3, "none": None})
    text = log.getvalue()
    assert text.isascii()
    assert text.count("\n") == 1
    assert not {"\r", "\x1b", "\0"} & set(text)
    (line,) = lines(log)
    assert (line["level"], line["room"], line["count"], line["none"]) == ("warning", "x", 3, None)
    assert line["model"] == nasty


@pytest.fixture
def pipe(log):
    """The process's log into a pipe: who reads it, who writes it."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as writer:
        configure_logging(writer)
        yield reader


@pytest.mark.fault("d16-pipe")
def test_a_pipe_that_nobody_reads_loses_lines_and_says_how_many(pipe):
    for number in range(5000):
        logging.getLogger("x").warning("a line", extra={"number": number})
    kept = [json.loads(line) for line in pipe.read().splitlines()]
    assert [line["number"] for line in kept] == list(range(len(kept)))
    logging.getLogger("x").warning("one more")
    note, after = (json.loads(line) for line in pipe.read().splitlines())
    assert note["lines"] == 5000 - len(kept) > 0
    assert after["event"] == "one more"


def test_a_line_that_found_room_for_its_beginning_alone_spoils_none_that_follows(pipe):
    long = {f"fact-{number}": "z" * 500 for number in range(20)}
    for _ in range(5000):
        logging.getLogger("x").warning("a line", extra=long)
    *_, torn = pipe.read().split(b"\n")
    assert torn, "the last one was cut"
    logging.getLogger("x").warning("one more")
    end, note, after = pipe.read().splitlines()
    assert end == b""
    assert json.loads(note)["lines"] > 0
    assert json.loads(after)["event"] == "one more"


@pytest.mark.fault("d18-labels")
def test_what_is_too_long_is_cut(log):
    logging.getLogger("x").warning("y" * 1_000_000, extra={"model": "z" * 1_000_000})
    assert len(log.getvalue()) < 4000


def test_an_exception_s_own_words_are_told_only_where_they_are_safe(log):
    for error in (ValueError("canary"), OSError(28, "No space left on device")):
        try:
            raise error
        except (ValueError, OSError):
            logging.getLogger("x").exception("failed")
    first, second = lines(log)
    assert "text" not in first["error"]
    assert second["error"]["text"] == "[Errno 28] No space left on device"
    assert "canary" not in log.getvalue()


def test_a_record_that_cannot_be_formatted_spills_nothing(log, capsys):
    logging.getLogger("x").warning("%d", "canary")
    assert "canary" not in log.getvalue() + capsys.readouterr().err
