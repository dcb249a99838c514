"""The traps that translators between these APIs have fallen into: one test each, through the dialects.

`TRAPS`, at the end, has them all by number; a number without a test fails. Golden cases and recordings
tell the same at length.
"""

import json

import pytest

from proxy.call import Kind, Phase
from proxy.simulator.strict import judge_mistral
from proxy.wire import DIALECTS
from proxy.wire.gemini.signatures import UNSIGNED
from tests.wire.dialogue import (
    BROKEN,
    FLASH,
    HISTORY,
    NEWEST,
    OLDER,
    OPUS,
    PROGRAM,
    SIGNATURE,
    START,
    STOP,
    THOUGHT,
    THOUGHTFUL,
    THOUGHTFUL_WHOLE,
    TOOLS,
    USER,
    ask,
    block,
    candidate,
    comes_back,
    delta,
    ends,
    follow,
    goes_up,
    heard,
    kind,
    refused,
    reply,
    server,
)
from tests.wire.samples import DONE, chunk, event, make_call
from tests.wire.vendors import Called, openai


def test_what_the_cache_served_and_took_is_part_of_claudes_input():
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 418, "cache_read_input_tokens": 1111}
    answer = {"content": [], "stop_reason": "end_turn", "usage": {**usage, "output_tokens": 5}}
    counted = reply("anthropic", answer).usage
    assert (counted.input, counted.cached, counted.cache_write) == (1532, 1111, 418)


@pytest.mark.fault("c10-count")
def test_later_counts_of_claudes_replace_the_earlier_ones():
    later = ends("end_turn", input_tokens=4, output_tokens=9), ends("end_turn", output_tokens=12)
    reader, _ = follow("anthropic", START, *later, STOP)
    assert (reader.usage.input, reader.usage.output) == (4, 12)


def test_calls_are_numbered_as_the_caller_sees_them():
    said = [START, block(0, type="text", text="Hi"), block(1, type="server_tool_use", id="s", name="web")]
    said += [block(2, type="tool_use", id="a", name="go", input={}), ends("tool_use"), STOP]
    assert b'"tool_calls":[{"index":0' in follow("anthropic", *said)[1]
    assert heard("anthropic", *said).calls == (Called("go", {}, "a"),)


@pytest.mark.parametrize("dialect", ["anthropic", "gemini", "openai", "vllm"])
def test_a_call_without_arguments_has_an_empty_object(dialect):
    bare = {"index": 0, "id": "a", "type": "function", "function": {"name": "go"}}
    said = [chunk({"tool_calls": [bare]}), chunk({}, "tool_calls"), DONE]
    if dialect == "anthropic":
        said = [START, block(0, type="tool_use", id="a", name="go", input={})]
        said += [delta(0, type="input_json_delta", partial_json=""), ends("tool_use"), STOP]
    elif dialect == "gemini":
        said = [candidate({"functionCall": {"name": "go", "id": "a"}}, finish="STOP")]
    assert heard(dialect, *said, tools=TOOLS).calls == (Called("go", {}, "a"),)


def test_results_open_one_turn_in_the_order_of_their_calls():
    turns = goes_up("anthropic", OPUS, messages=HISTORY)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    results, said = turns[2]["content"][:2], turns[2]["content"][2:]
    assert [one["tool_use_id"] for one in results] == [one["id"] for one in turns[1]["content"]]
    assert [one["content"][0]["text"] for one in results] == ["first", "second"]
    assert [one["type"] for one in said] == ["text"]


def test_a_result_bears_the_name_of_its_call():
    parts = goes_up("gemini", FLASH, messages=HISTORY)["contents"][2]["parts"]
    assert [one["functionResponse"]["name"] for one in parts[:2]] == ["go", "go"]
    stray = [USER, {"role": "tool", "tool_call_id": "nobody", "content": "x"}]
    assert refused("gemini", FLASH, messages=stray) == "messages[1].tool_call_id"


def test_a_bad_key_of_gemini_is_a_400_and_the_operators_trouble():
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    error = {"code": 400, "message": "x", "status": "INVALID_ARGUMENT", "details": [detail]}
    assert kind("gemini", 400, {"error": error}) is Kind.BAD_KEY


@pytest.mark.fault("b4-money")
@pytest.mark.parametrize(
    ("dialect", "status", "error"),
    [
        ("anthropic", 400, {"type": "invalid_request_error", "message": "Your credit balance is too low to"}),
        ("anthropic", 429, {"message": "x", "details": {"error_code": "enforced_spend_limit_reached"}}),
        ("openai", 429, {"code": "insufficient_quota", "message": "You exceeded your current quota"}),
    ],
)
def test_an_empty_account_is_known_under_whatever_status(dialect, status, error):
    assert kind(dialect, status, {"error": error}) is Kind.NO_CREDIT


def test_mistral_gets_no_member_that_it_would_refuse():
    """Of all that a program of OpenAI's sends exactly this goes up, and a strict Mistral takes it."""
    sent = goes_up("openai", like="mistral", **PROGRAM)
    called = sent["messages"][1]["tool_calls"]
    assert sent == {
        "model": "model-there",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {"role": "assistant", "tool_calls": called},
            {"role": "tool", "content": "second", "tool_call_id": called[1]["id"]},
            {"role": "tool", "content": "first", "tool_call_id": called[0]["id"]},
        ],
        "tools": TOOLS,
        "max_tokens": 9,
        "random_seed": 7,
        "stream": True,
    }
    assert [call["function"] for call in called] == [{"name": "go", "arguments": "{}"}] * 2
    assert judge_mistral(sent) is None


def test_a_list_of_mistrals_holds_the_answer_too():
    lists = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "4"}]
    said = heard("openai", chunk({"content": lists}), chunk({"content": "2"}, "stop"), DONE)
    assert said.text == "42"


def test_gemini_ends_by_closing_and_waits_in_the_body():
    assert heard("gemini", candidate({"text": "Hi"}, finish="STOP")).text == "Hi"
    assert follow("gemini", candidate({"text": "Hi"}))[0].failure.kind is Kind.TRUNCATED
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}
    body = {"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED", "details": [detail]}}
    assert DIALECTS["gemini"].error(429, {}, json.dumps(body).encode()).retry_after_s == 34.4


def test_a_stop_of_geminis_with_a_call_ends_by_calls():
    said = candidate({"functionCall": {"name": "go", "args": {}}}, finish="STOP")
    assert heard("gemini", said, tools=TOOLS).finish == "tool_calls"


def test_a_maximum_reached_in_thought_is_an_answer_of_nothing():
    said = candidate(finish="MAX_TOKENS", usageMetadata={"promptTokenCount": 3, "thoughtsTokenCount": 9})
    choice = json.loads(reply("gemini", said).body)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert heard("gemini", said).finish == "length"


@pytest.mark.parametrize("said", [THOUGHTFUL, THOUGHTFUL_WHOLE], ids=["streamed", "whole"])
def test_a_loop_of_tools_goes_on_though_the_caller_lost_the_thoughts(said):
    sent = comes_back("anthropic", OLDER, said["anthropic"], tools=TOOLS, reasoning_effort="high")
    assert sent["thinking"]["type"] == "enabled"
    assert sent["messages"][1]["content"][0] == THOUGHT
    parts = comes_back("gemini", FLASH, said["gemini"], tools=TOOLS)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [SIGNATURE, None]
    for like, field in (("deepseek", "reasoning_content"), ("ollama", "reasoning")):
        sent = comes_back("openai", "m", said["openai"], like, tools=TOOLS)
        assert sent["messages"][1][field] == "Hm."
    # A process that has forgotten, or never knew:
    sent = goes_up("anthropic", OLDER, messages=HISTORY[:-1], tools=TOOLS, reasoning_effort="high")
    assert "thinking" not in sent  # by hand it may begin only where the turn begins with it
    first = goes_up("gemini", FLASH, messages=HISTORY[:-1], tools=TOOLS)["contents"][1]["parts"][0]
    assert first["thoughtSignature"] == UNSIGNED


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "drop_params"])
def test_sampling_goes_where_it_is_taken_within_its_range_and_is_noted_elsewhere(lenient):
    """No model is changed for it: without it the answer is another sample of the same."""
    taken = ask("anthropic", OLDER, temperature=1.5, lenient=lenient)
    assert json.loads(taken.body)["temperature"] == 1
    assert taken.degraded == ("temperature",)
    thinking = ask("anthropic", OLDER, temperature=0.5, reasoning_effort="high", lenient=lenient)
    assert "temperature" not in json.loads(thinking.body)
    assert thinking.degraded == ("temperature",)
    refusing = ("anthropic", OPUS, None), ("openai", "gpt-5", "openai"), ("gemini", "gemini-3.6-flash", None)
    for dialect, model, like in refusing:
        spared = ask(dialect, model, like, temperature=0.5, top_p=0.5, lenient=lenient)
        assert b"emperature" not in spared.body
        assert b"0.5" not in spared.body
        assert spared.degraded == ("temperature", "top_p")
        assert ask(dialect, model, like, temperature=1, top_p=1, lenient=lenient).degraded == ()


def test_a_claude_that_cannot_be_forced_is_not_asked():
    for choice in ("required", {"type": "function", "function": {"name": "go"}}):
        assert refused("anthropic", NEWEST, tools=TOOLS, tool_choice=choice) == "tool_choice"
        assert goes_up("anthropic", OPUS, tools=TOOLS, tool_choice=choice)["tool_choice"]["type"] != "auto"
        asked = {"tools": TOOLS, "tool_choice": choice, "lenient": True}
        freed = ask("anthropic", NEWEST, **asked)
        assert freed.degraded == ("tool_choice",)
        sent = json.loads(freed.body)
        assert sent["tool_choice"] == {"type": "auto"}
        assert "tool" in sent["system"][-1]["text"]
        assert ask("anthropic", OPUS, **asked).degraded == ()


def test_a_refusal_in_a_success_is_an_answer():
    details = {"type": "refusal", "explanation": "No."}
    answer = {"content": [], "stop_reason": "refusal", "stop_details": details, "usage": {}}
    choice = json.loads(reply("anthropic", answer).body)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["refusal"]) == ("content_filter", "No.")
    blocked = heard("gemini", {"promptFeedback": {"blockReason": "SAFETY"}})
    assert (blocked.finish, "SAFETY" in blocked.refusal) == ("content_filter", True)
    assert heard("openai", chunk({"refusal": "No."}), chunk({}, "stop"), DONE).refusal == "No."


def test_role_id_and_name_come_once_whoever_repeats_them():
    piece = {"index": 0, "id": "a", "type": "function", "function": {"name": "go", "arguments": "{"}}
    more = {**piece, "function": {"name": "go", "arguments": "}"}}
    said = [chunk({"role": "assistant", "tool_calls": [one]}) for one in (piece, more)]
    assert heard("openai", *said, chunk({"role": "assistant"}, "tool_calls"), DONE).calls == (
        Called("go", {}, "a"),
    )


@pytest.mark.parametrize("dialect", ["openai", "vllm"])
def test_nothing_but_the_end_follows_a_usage(dialect):
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    usage = event({**head, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
    late = chunk({}, usage=None)
    _, out = follow(dialect, chunk({"content": "x"}), chunk({}, "stop"), usage, late, DONE)
    assert out.endswith(usage + DONE)


@pytest.mark.parametrize("dialect", BROKEN)
def test_no_finish_is_made_up_after_an_error(dialect):
    reader, out = follow(dialect, *BROKEN[dialect])
    assert reader.failure.phase is Phase.CONTENT
    assert b'"Hi"' in out
    assert b"[DONE]" not in out
    assert b'"finish_reason":"' not in out


def test_padding_neither_hides_nor_breaks_an_answer():
    padded = b'event: x\ndata: {  "type" : "content_block_start","index":0 ,   "content_block":'
    padded += b'{"type":"text","text":"Hi"}       }\n\n'
    assert heard("anthropic", START, padded, ends("end_turn"), STOP).text == "Hi"
    hidden = [chunk({"role": "assistant", "content": "Hi"}, obfuscation="xyz"), chunk({}, "stop"), DONE]
    assert follow("openai", *hidden)[1] == b"".join(hidden)  # OpenAI's own, from which callers gain
    plain = {"stream_options": {"include_obfuscation": False}}
    assert b"xyz" not in follow("openai", *hidden, **plain)[1]
    mistrals = [chunk({"content": "Hi"}, p="abc"), chunk({}, "stop", p="ab"), DONE]
    _, out = follow("openai", *mistrals, like="mistral")
    assert openai(out).choices[0].text == "Hi"
    assert b'"p"' not in out
    whole = {**THOUGHTFUL_WHOLE["openai"], "p": "abc"}
    assert b'"p"' not in reply("openai", whole, like="mistral").body
    assert b'"p"' in reply("openai", whole).body
    blank = b"\n \r\n\n" + json.dumps(THOUGHTFUL_WHOLE["openai"], indent=2).encode()
    judged = DIALECTS["openai"].reply(make_call(), server("openai"), 200, {}, blank)
    assert openai(judged.body).choices[0].calls
    assert heard("openai", b": keep-alive\n\n", *mistrals).text == "Hi"


@pytest.mark.parametrize("dialect", ["anthropic", "gemini", "openai", "vllm"])
@pytest.mark.parametrize(
    "body",
    [
        {"error": "Unauthorized"},
        [{"error": {"message": "Unauthorized"}}],
        {"detail": [{"loc": ["body"], "msg": "x"}]},
        "Unauthorized",
        b"<html>nothing here</html>",
        b"",
        b"\xff\xfe",
    ],
)
def test_an_error_in_any_shape_and_under_any_type_is_understood(dialect, body):
    headers = {"content-type": "application/octet-stream"}
    assert kind(dialect, 401, body, headers) is Kind.BAD_KEY
    assert kind(dialect, 503, body, headers) is Kind.OVERLOADED


def test_ids_of_calls_are_made_legal_for_each_upstream_alike_in_call_and_result():
    sent = goes_up("anthropic", OPUS, messages=HISTORY)["messages"]
    ids = [one["id"] for one in sent[1]["content"]]
    assert ids[0] == "call_1"
    assert ids[1].replace("_", "").isalnum()
    assert [one["tool_use_id"] for one in sent[2]["content"][:2]] == ids
    sent = goes_up("openai", like="mistral", messages=HISTORY)["messages"]
    ids = [one["id"] for one in sent[1]["tool_calls"]]
    assert all(len(one) == 9 and one.isalnum() for one in ids)
    assert [sent[3]["tool_call_id"], sent[2]["tool_call_id"]] == ids


def test_a_bare_stop_becomes_a_list():
    assert goes_up("anthropic", OPUS, stop="END")["stop_sequences"] == ["END"]
    assert goes_up("gemini", FLASH, stop="END")["generationConfig"]["stopSequences"] == ["END"]


def test_a_developer_is_a_system_outside_openai():
    messages = [{"role": "developer", "content": "Be brief."}, USER]
    for like in ("deepseek", "mistral", "ollama", "vllm", "plain"):
        assert goes_up("openai", like=like, messages=messages)["messages"][0]["role"] == "system"
    assert goes_up("openai", like="openai", messages=messages)["messages"][0]["role"] == "developer"
    assert goes_up("anthropic", OPUS, messages=messages)["system"][0]["text"] == "Be brief."
    assert goes_up("gemini", FLASH, messages=messages)["systemInstruction"]["parts"][0]["text"] == "Be brief."


def test_claude_always_gets_a_maximum_and_thinks_within_it():
    assert goes_up("anthropic", OPUS)["max_tokens"] > 0
    sent = goes_up("anthropic", OLDER, max_completion_tokens=4000, reasoning_effort="high")
    assert sent["max_tokens"] == 4000
    assert sent["thinking"]["budget_tokens"] < 4000


@pytest.mark.parametrize(("dialect", "model"), [("vllm", "m"), ("anthropic", OPUS), ("gemini", FLASH)])
def test_an_empty_list_of_tools_is_left_out(dialect, model):
    assert "tools" not in goes_up(dialect, model, tools=[])


def test_a_first_chunk_without_choices_goes_to_nobody():
    first = event({"id": "", "model": "", "choices": [], "prompt_filter_results": []})
    _, out = follow("openai", first, chunk({"content": "Hi"}, "stop"), DONE)
    assert b"prompt_filter_results" not in out
    assert openai(out).choices[0].text == "Hi"


DATES = {"retry-after": "Sat, 21 Nov 2026 10:00:09 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        (DATES, 9.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-1"}, None),
    ],
)
def test_a_wait_is_read_in_every_form(headers, seconds):
    for dialect in ("anthropic", "openai", "vllm", "gemini"):
        assert DIALECTS[dialect].error(429, headers, b"{}").retry_after_s == seconds


def test_offsets_in_bytes_never_reach_a_caller_as_characters():
    support = {"segment": {"startIndex": 0, "endIndex": 9}, "groundingChunkIndices": [0]}
    said = candidate({"text": "Überall"}, finish="STOP")
    said["candidates"][0]["groundingMetadata"] = {"groundingSupports": [support]}
    assert "annotations" not in json.loads(reply("gemini", said).body)["choices"][0]["message"]
    assert b"annotations" not in follow("gemini", said)[1]


TRAPS = {
    1: test_what_the_cache_served_and_took_is_part_of_claudes_input,
    2: test_later_counts_of_claudes_replace_the_earlier_ones,
    3: test_calls_are_numbered_as_the_caller_sees_them,
    4: test_a_call_without_arguments_has_an_empty_object,
    5: test_results_open_one_turn_in_the_order_of_their_calls,
    6: test_a_result_bears_the_name_of_its_call,
    7: test_a_bad_key_of_gemini_is_a_400_and_the_operators_trouble,
    8: test_an_empty_account_is_known_under_whatever_status,
    9: test_mistral_gets_no_member_that_it_would_refuse,
    10: test_a_list_of_mistrals_holds_the_answer_too,
    11: test_gemini_ends_by_closing_and_waits_in_the_body,
    12: test_a_stop_of_geminis_with_a_call_ends_by_calls,
    13: test_a_maximum_reached_in_thought_is_an_answer_of_nothing,
    14: test_a_loop_of_tools_goes_on_though_the_caller_lost_the_thoughts,
    15: test_sampling_goes_where_it_is_taken_within_its_range_and_is_noted_elsewhere,
    16: test_a_claude_that_cannot_be_forced_is_not_asked,
    17: test_a_refusal_in_a_success_is_an_answer,
    18: test_role_id_and_name_come_once_whoever_repeats_them,
    19: test_nothing_but_the_end_follows_a_usage,
    20: test_no_finish_is_made_up_after_an_error,
    21: test_padding_neither_hides_nor_breaks_an_answer,
    22: test_an_error_in_any_shape_and_under_any_type_is_understood,
    23: test_ids_of_calls_are_made_legal_for_each_upstream_alike_in_call_and_result,
    24: test_a_bare_stop_becomes_a_list,
    25: test_a_developer_is_a_system_outside_openai,
    26: test_claude_always_gets_a_maximum_and_thinks_within_it,
    27: test_an_empty_list_of_tools_is_left_out,
    28: test_a_first_chunk_without_choices_goes_to_nobody,
    29: test_a_wait_is_read_in_every_form,
    30: test_offsets_in_bytes_never_reach_a_caller_as_characters,
}


def test_every_trap_has_a_test_and_every_test_a_trap():
    assert list(TRAPS) == list(range(1, 31))
    tests = {name for name in globals() if name.startswith("test_")}
    tests.remove("test_every_trap_has_a_test_and_every_test_a_trap")
    assert {test.__name__ for test in TRAPS.values()} == tests
