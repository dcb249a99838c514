"""What a real engine tells of its load is read, and means what we take it for."""

import re

import pytest
from openai import OpenAI

from tests.kit.processes import eventually

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

ASK = [{"role": "user", "content": "Hello, how are you today?"}]


def gauge(built, name, upstream):
    """What the proxy's `/metrics` has of an engine; None: it has no such series."""
    text = built.get("probes", "/metrics")[1]
    found = re.search(rf'^fallthrough_{name}\{{[^}}]*upstream="{upstream}"\}} (\S+)$', text, re.MULTILINE)
    return None if found is None else float(found[1])


def test_how_many_run_and_wait_and_what_is_cached_is_read(proxy):
    for engine in ("mistral", "mixtral"):
        eventually(lambda engine=engine: gauge(proxy, "upstream_requests_waiting", engine) == 0)
        assert 0 <= gauge(proxy, "upstream_cache_used_ratio", engine) <= 1
        assert gauge(proxy, "upstream_saturated", engine) == 0


def test_a_stream_under_way_is_one_that_runs(proxy):
    with OpenAI(base_url=proxy.base_url, api_key=proxy.key, max_retries=0) as sdk:
        stream = sdk.chat.completions.create(
            model="mistral", messages=ASK, stream=True, max_tokens=1500, extra_body={"ignore_eos": True}
        )
        next(stream)
        eventually(lambda: gauge(proxy, "upstream_requests_running", "mistral"))
        stream.close()
    eventually(lambda: gauge(proxy, "upstream_requests_running", "mistral") == 0)
