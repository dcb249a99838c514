"""A proxy with as many calls as it may have: the SDK is told when to come again, and finds room then."""

import openai
import pytest
from openai import OpenAI

from tests.kit.processes import TABLE, calls, house

ASK = [{"role": "user", "content": "hello"}]
SMALL = TABLE.replace("  drain: 5s\n", "  drain: 5s\n  max_calls: 2\n")


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
