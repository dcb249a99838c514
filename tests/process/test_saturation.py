"""An engine with too many waiting, as its own metrics tell: others answer, unless there are none."""

import re

from openai import OpenAI

from tests.kit.processes import TABLE, calls, eventually, house

ASK = [{"role": "user", "content": "hello"}]
ENGINE_FIRST = (
    TABLE.replace("targets: [first/gpt-4o-mini, vllm/mixtral]", "targets: [vllm/mixtral, first/gpt-4o-mini]")
    .replace("    dialect: vllm\n", "    dialect: vllm\n    load: {{every: 250ms, waiting: 10}}\n")
    .replace("first_token: 5s, idle: 1s", "first_token: 30s, idle: 30s")
)


def gauge(built, name):
    """What `/metrics` has of the engine; None: it has no such series."""
    text = built.get("probes", "/metrics")[1]
    found = re.search(rf'^fallthrough_{name}\{{upstream="vllm"\}} (\S+)$', text, re.MULTILINE)
    return None if found is None else float(found[1])


def test_an_engine_with_too_many_waiting_is_passed_over_until_it_is_well(tmp_path):
    with house(tmp_path, table=ENGINE_FIRST) as built:
        with OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as sdk:

            def answered_by(model="chat"):
                raw = sdk.chat.completions.with_raw_response.create(model=model, messages=ASK)
                assert raw.headers["x-fallthrough-attempts"] == "1"
                return raw.headers["x-fallthrough-upstream"]

            eventually(lambda: gauge(built, "upstream_requests_waiting") == 0)
            assert answered_by() == "vllm"

            built.script("vllm: {load: {running: 8, waiting: 10, cache: 0.75}}")
            eventually(lambda: gauge(built, "upstream_saturated"))
            told = [gauge(built, f"upstream_{name}") for name in ("requests_running", "cache_used_ratio")]
            assert told == [8, 0.75]
            assert answered_by() == "first"
            assert answered_by("only-vllm") == "vllm", "nobody else is left"

            built.script("vllm: {load: {waiting: 5}}")
            eventually(lambda: gauge(built, "upstream_saturated") == 0)
            assert answered_by() == "vllm"

            built.script("vllm: {load: {waiting: 10}}")
            eventually(lambda: gauge(built, "upstream_saturated"))
            built.script("vllm: {load: {status: 500}}")
            eventually(lambda: gauge(built, "upstream_saturated") is None)
            assert answered_by() == "vllm", "whoever cannot be read is believed to be well"
        log = built.log()
        assert "too many wait at an upstream, and it is passed over" in log
        assert "an upstream does not say how busy it is" in log


def test_an_engine_that_refuses_because_its_queue_is_full_is_not_given_up(tmp_path):
    with house(tmp_path, table=ENGINE_FIRST) as built:
        built.script("vllm: [{do: {error: overload}}]")
        with OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as sdk:
            for _ in range(8):
                raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=ASK)
                assert raw.headers["x-fallthrough-upstream"] == "first"
            assert gauge(built, "breaker_state") in (None, 0)
            built.script("{}")

            def engine_answers():
                raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=ASK)
                return raw.headers["x-fallthrough-upstream"] == "vllm"

            eventually(engine_answers)
        results = {(tried["upstream"], tried["result"]) for row in calls(built) for tried in row["attempts"]}
        assert results == {("vllm", "saturated"), ("first", "ok"), ("vllm", "ok")}
