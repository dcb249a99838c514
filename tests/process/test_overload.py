"""A proxy with as many calls as it may have, or more to do than it can: SDKs are told when to come again."""

import os
import signal
import time

import openai
import pytest
from openai import OpenAI

from tests.kit.processes import TABLE, calls, eventually, house

ASK = [{"role": "user", "content": "hello"}]
SMALL = TABLE.replace("  drain: 5s\n", "  drain: 5s\n  max_calls: 2\n")
LATE = TABLE.replace("  drain: 5s\n", "  drain: 5s\n  max_lag: 200ms\n").replace("idle: 1s", "idle: 30s")
STOPS, STOPPED_S, RUNS_S = 5, 0.5, 0.01


def test_beyond_its_calls_a_proxy_says_503_and_serves_on(tmp_path):
    with house(tmp_path, table=SMALL) as built:
        built.script("first: [{do: {chunk_delay: 500ms}}]")
        with OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as sdk:
            held = [sdk.chat.completions.create(model="chat", messages=ASK, stream=True) for _ in range(2)]
            for stream in held:
                next(stream)
            with pytest.raises(openai.InternalServerError) as refused:
                sdk.chat.completions.create(model="chat", messages=ASK)
            assert (refused.value.status_code, refused.value.code) == (503, "overloaded")
            assert refused.value.response.headers["x-should-retry"] == "true"
            assert built.get("probes", "/readyz")[0] == 200
            status, metrics = built.get("probes", "/metrics")
            assert 'fallthrough_shed_calls_total{why="calls"} 1.0' in metrics
            assert "fallthrough_loop_lag_seconds " in metrics
            for stream in held:
                stream.close()
            built.script("{}")
            # As people make it: its own retries find the room that is there by then.
            again = sdk.with_options(max_retries=5).chat.completions.create(model="chat", messages=ASK)
            assert again.choices[0].finish_reason == "stop"
        assert {row["result"] for row in calls(built)} == {"ok", "caller_gone"}
        assert status == 200


def starve(pid):
    """Let a process have nothing of the processor but for a moment now and then."""
    for _ in range(STOPS):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        os.kill(pid, signal.SIGCONT)
        time.sleep(RUNS_S)


def test_a_process_that_cannot_keep_up_turns_newcomers_away_until_it_can(tmp_path):
    with house(tmp_path, table=LATE) as built:
        built.script("first: [{when: {stream: true}, do: {chunk_delay: 250ms, tokens: 10000}}]")
        with OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as sdk:

            def refused():
                """What a newcomer is told; None: it is served."""
                try:
                    sdk.chat.completions.create(model="chat", messages=ASK)
                except openai.InternalServerError as error:
                    return error.status_code, error.code, error.response.headers["x-should-retry"]
                return None

            def refused_when_starved():
                starve(built.processes["proxy"].pid)
                return refused()

            with sdk.chat.completions.create(model="chat", messages=ASK, stream=True) as held:
                next(held)
                assert eventually(refused_when_starved) == (503, "overloaded", "true")
                assert built.get("probes", "/healthz")[0] == 200
                assert 'fallthrough_shed_calls_total{why="lag"} 0.0' not in built.get("probes", "/metrics")[1]
                eventually(lambda: not refused())
                next(held)
        log = built.log()
        assert "the loop is late; new calls are turned away" in log
        assert "the loop is in time again; new calls are taken" in log
