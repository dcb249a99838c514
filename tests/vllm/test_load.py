"""What a real engine tells of its load is read, and means what we take it for; so does what it refuses."""

import re
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.kit.processes import calls, eventually, house
from tests.vllm.engine.server import KEY, MISTRAL, Engine, Model

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

ASK = [{"role": "user", "content": "Hello, how are you today?"}]
RUNS, TAKES, MARK = 2, 12, 4
NARROW = Model(MISTRAL.folder, MISTRAL.name, (f"--max-num-seqs={RUNS}", f"--max-num-queued-reqs={TAKES}"))
"""An engine that is full with two requests, and refuses the thirteenth."""
TABLE = """\
settings:
  listen: 127.0.0.1:{proxy}
  admin: 127.0.0.1:{admin}
  probes: 127.0.0.1:{probes}
  ledger: sqlite:///{folder}/ledger.db
  drain: 5s
upstreams:
  narrow: {{dialect: vllm, base_url: 'ADDRESS', api_key: KEY, load: {{every: 250ms, waiting: MARK}}}}
  commercial: {{base_url: 'http://127.0.0.1:{simulator}/commercial/v1', api_key: sk-commercial}}
routes:
  - model: chat
    targets: [narrow/MODEL, commercial/gpt-4o-mini]
  - model: only-narrow
    targets: [narrow/MODEL]
    retry: {{attempts: 1}}
"""


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


@pytest.fixture
def narrow(engine_home, tmp_path):
    """A proxy before an engine that bears little, and a commercial upstream behind it."""
    engine = Engine(engine_home, NARROW)
    words = {"ADDRESS": engine.base_url, "KEY": KEY, "MARK": str(MARK), "MODEL": NARROW.name}
    table = re.sub("|".join(words), lambda found: words[found[0]], TABLE)
    try:
        engine.start()
        engine.wait_healthy()
        with house(tmp_path, table=table) as built:
            yield built
    finally:
        engine.kill()


def test_an_engine_where_too_many_wait_is_passed_over_and_one_that_refuses_is_not_given_up(narrow):
    with (
        openai.OpenAI(base_url=narrow.base_url, api_key=narrow.key, max_retries=0) as sdk,
        ThreadPoolExecutor(2 * TAKES) as crowd,
    ):

        def told(_):
            """Two seconds of work for the engine; the code of the error, if it did not take them on."""
            try:
                sdk.chat.completions.create(model="only-narrow", messages=ASK, max_tokens=100)
            except openai.InternalServerError as error:
                return error.code
            return "served"

        def answered_by():
            raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=ASK, max_tokens=4)
            return raw.headers["x-fallthrough-upstream"]

        eventually(lambda: gauge(narrow, "upstream_saturated", "narrow") == 0)
        assert answered_by() == "narrow"

        waiting = [crowd.submit(told, number) for number in range(TAKES)]
        eventually(lambda: gauge(narrow, "upstream_saturated", "narrow"))
        assert gauge(narrow, "upstream_requests_running", "narrow") == RUNS
        assert answered_by() == "commercial"
        assert {each.result() for each in waiting} == {"served"}, "where nobody else is left"
        eventually(lambda: gauge(narrow, "upstream_saturated", "narrow") == 0)
        assert answered_by() == "narrow"

        assert set(crowd.map(told, range(2 * TAKES))) == {"served", "upstream_unavailable"}
        assert gauge(narrow, "breaker_state", "narrow") in (None, 0)
        eventually(lambda: answered_by() == "narrow")
    results = {tried["result"] for row in calls(narrow, 100) for tried in row["attempts"]}
    assert results == {"ok", "saturated"}
