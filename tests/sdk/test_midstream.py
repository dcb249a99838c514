"""Streams that break or come late, over a real port, as the official SDK sees them."""

import openai
import pytest

from tests.kit.processes import TABLE, calls, house

ASK = [{"role": "user", "content": "hello"}]
TOKENS = 12
COUNTED = "".join(f" {number}" for number in range(1, TOKENS + 1))
ROUTES = """\
routes:
  - model: continued
    targets: [first/gpt-4o-mini, vllm/mixtral]
    on_midstream: continue
  - model: restarted
    targets: [first/gpt-4o-mini, vllm/mixtral]
    on_midstream: restart
  - model: hedged
    targets: [first/gpt-4o-mini, vllm/mixtral]
    hedge: {{after: 100ms}}
"""
EVENTS = 1 + TOKENS + 1 + 1
"""The role, the tokens, the finish, the usage."""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    table = TABLE.replace("routes:\n", ROUTES)
    table = table.replace(
        "    capabilities: openai\n", "    capabilities: openai\n    breaker: {{failures: 1000}}\n"
    )
    with house(tmp_path_factory.mktemp("house"), table=table) as running:
        yield running


@pytest.fixture
def sdk(built):
    with openai.OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as client:
        yield client
    built.script("{}")


def says(**does):
    told = ", ".join(f"{name}: {value}" for name, value in {"tokens": TOKENS, **does}.items())
    return f"first: [{{do: {{{told}}}}}]\nvllm: [{{do: {{tokens: {TOKENS}}}}}]\n"


def streamed(sdk, model, **members):
    """One answer through the SDK's own accumulator."""
    options = {"include_usage": True}
    with sdk.chat.completions.stream(model=model, messages=ASK, stream_options=options, **members) as events:
        return events.get_final_completion()


@pytest.mark.parametrize("model", ["continued", "restarted"])
@pytest.mark.parametrize("how", ["cut", "error_event"])
def test_a_stream_that_breaks_after_any_event_is_whole_in_the_callers_hands(sdk, built, model, how):
    totals = []
    for events in range(EVENTS - 2):
        built.script(says(**{how: events}))
        answer = streamed(sdk, model)
        (choice,) = answer.choices
        assert (choice.message.role, choice.message.content) == ("assistant", COUNTED)
        assert choice.finish_reason == "stop"
        totals.append(answer.usage.total_tokens)
    for row in calls(built, len(totals)):
        assert row["result"] == "ok"
        assert row["input_tokens"] + row["output_tokens"] == totals.pop()
        assert [one["upstream"] for one in row["attempts"]] == ["first", "vllm"]
        assert [one["result"] for one in row["attempts"]][1] == "ok"


def test_a_stall_is_gone_on_with(sdk, built):
    built.script(says(stall=5))
    assert streamed(sdk, "continued").choices[0].message.content == COUNTED


def test_the_callers_maximum_is_kept_over_both_halves(sdk, built):
    built.script(says(cut=5))
    with pytest.raises(openai.LengthFinishReasonError) as caught:
        streamed(sdk, "continued", max_tokens=8)
    assert caught.value.completion.choices[0].message.content == COUNTED[: 2 * 8]


def test_another_answer_is_not_spliced_on(sdk, built):
    built.script(f"first: [{{do: {{tokens: {TOKENS}, cut: 5}}}}]\nvllm: []\n")
    with pytest.raises(openai.APIError) as caught:
        streamed(sdk, "restarted")
    assert caught.value.code == "upstream_broken"
    (row, *_) = calls(built, 1)
    tried = [(one["upstream"], one["result"]) for one in row["attempts"]]
    assert tried == [("first", "broken"), ("vllm", "strayed"), ("first", "ambiguous")]


def test_a_late_upstream_is_overtaken(sdk, built):
    built.script(says(first_token="4s"))
    assert streamed(sdk, "hedged").choices[0].message.content == COUNTED
    (row, *_) = calls(built, 1)
    assert [(one["upstream"], one["result"]) for one in row["attempts"]] == [
        ("first", "outrun"),
        ("vllm", "ok"),
    ]


@pytest.mark.parametrize("stream", [True, False])
def test_a_silent_upstream_leaves_time_for_the_next_before_the_sdk_gives_up(sdk, built, stream):
    built.script(says(delay="30s"))
    patient = sdk.with_options(timeout=4)
    raw = patient.chat.completions.with_raw_response.create(model="continued", messages=ASK, stream=stream)
    assert raw.headers["x-fallthrough-upstream"] == "vllm"
    assert raw.http_request.headers["x-stainless-read-timeout"] == "4"


def test_an_sdk_that_would_give_up_is_told_why_instead(sdk, built):
    built.script("first: [{do: {delay: 30s}}]\nvllm: [{do: {delay: 30s}}]\n")
    with pytest.raises(openai.InternalServerError) as caught:
        sdk.with_options(timeout=2).chat.completions.create(model="continued", messages=ASK)
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
