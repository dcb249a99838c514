"""A stream cut on one engine and finished by another: models that count show every lost or doubled token."""

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.kit.processes import calls, house
from tests.vllm.cutter import Cutter
from tests.vllm.engine.server import KEY, MISTRAL, MIXTRAL
from tests.vllm.table import TABLE

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

ASK = [{"role": "user", "content": "Count, please."}]
TOKENS, CUT_AT, TIMES, AT_ONCE = 60, 40, 200, 8
COUNTED = "".join(f" {number}" for number in range(1, TOKENS + 1))


@pytest.fixture
def cutter(mistral):
    """A wire to the tiny Mistral that breaks at the number forty."""
    with Cutter(mistral.port, b" %d" % CUT_AT) as wire:
        yield wire


@pytest.fixture
def proxy(cutter, engines, mixtral, tmp_path):
    text = TABLE.format(
        key=KEY,
        mistral=cutter.base_url,
        mixtral=engines[MIXTRAL].base_url,
        mistral_model=MISTRAL.name,
        mixtral_model=MIXTRAL.name,
    )
    targets = f"[mistral/{MISTRAL.name}, mixtral/{MIXTRAL.name}]"
    modes = ("continue", "restart")
    route = "  - model: {0}\n    targets: {1}\n    on_midstream: {0}\n"
    routes = "".join(route.format(mode, targets) for mode in modes)
    never_open = "  mistral:\n    breaker: {{failures: 1000}}\n"
    text = text.replace("routes:\n", f"routes:\n{routes}").replace("  mistral:\n", never_open, 1)
    with house(tmp_path, table=text) as built:
        yield built


@pytest.mark.parametrize("mode", ["continue", "restart"])
def test_an_answer_cut_at_forty_of_sixty_tokens_is_finished_by_another_engine_200_times(proxy, cutter, mode):
    with openai.OpenAI(base_url=proxy.base_url, api_key=proxy.key, max_retries=0) as sdk:

        def once(_):
            options = {"stream": True, "stream_options": {"include_usage": True}}
            try:
                return list(
                    sdk.chat.completions.create(model=mode, messages=ASK, max_tokens=TOKENS, **options)
                )
            except openai.APIError as error:
                return error

        with ThreadPoolExecutor(AT_ONCE) as pool:
            streams = list(pool.map(once, range(TIMES)))
    broken = [stream for stream in streams if isinstance(stream, openai.APIError)]
    assert not broken, [row["attempts"] for row in calls(proxy, TIMES) if row["result"] != "ok"]
    assert cutter.cuts == TIMES
    spent_early = lost = 0
    for chunks in streams:
        *said, last = chunks
        choices = [chunk.choices[0] for chunk in said]
        assert "".join(choice.delta.content or "" for choice in choices) == COUNTED
        assert [choice.delta.role for choice in choices if choice.delta.role] == ["assistant"]
        assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["length"]
        assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
        spent = last.usage.completion_tokens
        assert spent == TOKENS if mode == "continue" else TOKENS <= spent < 2 * TOKENS
        spent_early += mode == "restart" and spent < CUT_AT + TOKENS
    assert spent_early <= cutter.cuts_early
    for row in calls(proxy, TIMES):
        assert row["result"] == "ok"
        first, second = row["attempts"]
        assert (first["upstream"], second["upstream"], second["result"]) == ("mistral", "mixtral", "ok")
        lost += first["first_ms"] is None  # cut in its very first event: it had said nothing
        assert first["result"] == ("broken" if first["first_ms"] is not None else "ambiguous")
        used = [one["usage"]["output"] for one in row["attempts"] if one["usage"] is not None]
        assert row["output_tokens"] == sum(used)
    assert lost <= cutter.cuts_early
