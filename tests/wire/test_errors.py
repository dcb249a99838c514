"""What every refusal seen from an OpenAI-shaped upstream means: one row for each shape."""

import json

import pytest
from msgspec.structs import replace

from proxy.call import Kind, Phase
from proxy.wire import DIALECTS
from proxy.wire.dialect import NOTHING_RECALLED
from tests.wire.samples import TARGET, make_call, make_upstream

K = Kind


def oai(message="", code=None, type_="invalid_request_error", param=None):
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


CONTEXT = (
    "This model's maximum context length is 2048 tokens. However, your prompt contains 2049 input tokens"
)
ROWS = [
    # OpenAI
    (400, oai("Unsupported value", "unsupported_value", param="messages[0].role"), K.UNABLE),
    (400, oai("Unsupported parameter: 'stop'", "unsupported_parameter", param="stop"), K.UNABLE),
    (400, oai("image_url is only supported by certain models.", param="messages"), K.UNABLE),
    (400, oai("max_tokens is too large: 9. This model supports at most 8 completion tokens"), K.UNABLE),
    (400, oai("Unknown parameter: 'foo'.", "unknown_parameter", param="foo"), K.BAD_REQUEST),
    (400, oai("bad image", "invalid_image_url"), K.BAD_REQUEST),
    (400, oai("too long", "context_length_exceeded", param="messages"), K.TOO_LONG),
    (400, oai("Your request was rejected", "content_policy_violation"), K.FILTERED),
    (400, oai("filtered", "content_filter"), K.FILTERED),
    (400, oai("Invalid prompt: flagged as violating our usage policy", "invalid_prompt"), K.FILTERED),
    (400, oai("The model `x` does not exist", "model_not_found"), K.NO_MODEL),
    (401, oai("Incorrect API key provided", "invalid_api_key"), K.BAD_KEY),
    (401, oai("Incorrect API key provided"), K.BAD_KEY),
    (403, oai("Country not supported", "unsupported_country_region_territory"), K.BAD_KEY),
    (403, oai("Project has no access to model"), K.BAD_KEY),
    (404, oai("The model `x` does not exist", "model_not_found"), K.NO_MODEL),
    (408, oai("timeout"), K.OVERLOADED),
    (409, oai("conflict"), K.OVERLOADED),
    (413, oai("too large"), K.BAD_REQUEST),
    (422, oai("cannot"), K.BAD_REQUEST),
    (429, oai("Rate limit reached", "rate_limit_exceeded", "requests"), K.RATE_LIMITED),
    (429, oai("Slow down", "slow_down"), K.RATE_LIMITED),
    (429, oai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), K.NO_CREDIT),
    (429, oai("You exceeded your current quota, please check your plan and billing"), K.NO_CREDIT),
    (429, oai("x", "credit_balance_exhausted"), K.NO_CREDIT),
    (429, oai("x", "organization_spend_limit_exceeded"), K.NO_CREDIT),
    (429, oai("x", "project_spend_limit_exceeded"), K.NO_CREDIT),
    (429, oai("x", "organization_usage_limit_exceeded"), K.NO_CREDIT),
    (429, oai("x", "billing_hard_limit_reached"), K.NO_CREDIT),
    (429, oai("x", "enforced_spend_limit_reached"), K.NO_CREDIT),
    (500, oai("The server had an error", None, "server_error"), K.OVERLOADED),
    (500, oai("maximum context length"), K.OVERLOADED),
    (503, oai("Slow Down", "slow_down"), K.RATE_LIMITED),
    (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, K.OVERLOADED),
    (400, oai("Your credit balance is too low to access the API."), K.NO_CREDIT),
    # Anthropic
    (400, oai("`temperature` is deprecated for this model."), K.UNABLE),
    (400, oai("This model does not support assistant message prefill."), K.UNABLE),
    (400, oai('tool_choice: type "tool" and "any" are not supported for this model.'), K.UNABLE),
    (400, oai('"thinking.type.enabled" is not supported for this model.'), K.UNABLE),
    (400, oai("adaptive thinking is not supported on this model"), K.UNABLE),
    (400, oai("Schema is too complex for compilation."), K.UNABLE),
    (400, oai("max_tokens: 9 > 8, which is the maximum allowed number of output tokens for x"), K.UNABLE),
    (400, oai("input length and `max_tokens` exceed context limit: 9 + 3 > 10"), K.TOO_LONG),
    (400, oai("Output blocked by content filtering policy"), K.FILTERED),
    (400, oai("This organization has been disabled."), K.BAD_KEY),
    # DeepSeek
    (400, oai("Model Not Exist", "invalid_request_error"), K.NO_MODEL),
    (400, oai("Content Exists Risk", "invalid_request_error"), K.FILTERED),
    (400, oai("This response_format type is unavailable now", "invalid_request_error"), K.UNABLE),
    (400, oai("deepseek-reasoner does not support this tool_choice", "invalid_request_error"), K.UNABLE),
    (400, oai("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"), K.UNABLE),
    (400, oai("The reasoning_content in the thinking mode must be passed back to the API."), K.UNABLE),
    (400, oai(CONTEXT, "invalid_request_error"), K.TOO_LONG),
    (402, oai("Insufficient Balance", "invalid_request_error", "unknown_error"), K.NO_CREDIT),
    (402, b"", K.NO_CREDIT),
    (503, oai("Service is too busy", None, "service_unavailable_error"), K.OVERLOADED),
    # Mistral
    (401, {"detail": "Invalid API Key"}, K.BAD_KEY),
    (
        422,
        {"detail": [{"loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]},
        K.UNABLE,
    ),
    (422, {"object": "error", "message": {"detail": [{"loc": ["body", "x"], "msg": "no"}]}}, K.BAD_REQUEST),
    (
        429,
        {"message": "Service tier capacity exceeded", "type": "rate_limited", "code": "1300"},
        K.RATE_LIMITED,
    ),
    (
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
        K.NO_MODEL,
    ),
    (
        400,
        {"message": "Prompt contains 9 tokens, too large for model with 8 maximum context length"},
        K.TOO_LONG,
    ),
    (400, {"object": "error", "message": "Expected last role User", "code": 3230}, K.BAD_REQUEST),
    # vLLM
    (400, oai("temperature must be non-negative", 400, "BadRequestError", "temperature"), K.BAD_REQUEST),
    (400, oai(CONTEXT, 400, "BadRequestError", "input_tokens"), K.TOO_LONG),
    (400, oai("However, the model's context length is only 4096 tokens", 400, "BadRequestError"), K.TOO_LONG),
    (400, oai("1 validation error:\n  {}", 400, "Bad Request", "body.max_tokens"), K.BAD_REQUEST),
    (400, oai('"auto" tool choice requires --enable-auto-tool-choice', 400, "BadRequestError"), K.UNABLE),
    (400, oai("tiny is not a multimodal model", 400, "BadRequestError"), K.UNABLE),
    (400, oai("The model does not support Chat Completions API", 400, "BadRequestError"), K.UNABLE),
    (400, oai("As of x, default chat template is no longer allowed", 400, "BadRequestError"), K.UNABLE),
    (400, oai("Conversation roles must alternate user/assistant/...", 400, "BadRequestError"), K.UNABLE),
    (400, oai("System role not supported", 400, "BadRequestError"), K.UNABLE),
    (
        400,
        oai("The prompt is longer than the maximum model length of 10", 400, "BadRequestError"),
        K.TOO_LONG,
    ),
    (401, {"error": "Unauthorized"}, K.BAD_KEY),
    (404, oai("The model `nope` does not exist.", 404, "NotFoundError", "model"), K.NO_MODEL),
    (404, {"detail": "Not Found"}, K.NO_MODEL),
    (405, {"detail": "Method Not Allowed"}, K.BAD_ANSWER),
    (500, oai("EngineCore encountered an issue.", 500, "InternalServerError"), K.OVERLOADED),
    (503, oai("The engine is currently busy", 503, "Service Unavailable"), K.SATURATED),
    (503, {"error": "The model is currently scaling. Please try again later."}, K.OVERLOADED),
    (503, b"<html>503 Service Temporarily Unavailable</html>", K.OVERLOADED),
    (503, b"no healthy upstream", K.OVERLOADED),
    (400, {"object": "error", "message": CONTEXT, "type": "BadRequestError", "code": 400}, K.TOO_LONG),
    # Ollama
    (404, {"error": "model 'nonexistent-model:latest' not found"}, K.NO_MODEL),
    (400, {"error": "prompt too long; exceeded max context length by 4 tokens"}, K.TOO_LONG),
    (404, oai("model 'x' not found", None, "not_found_error"), K.NO_MODEL),
    # anything
    (302, b"", K.BAD_ANSWER),
    (200, b"<html>", K.BAD_ANSWER),
    (200, {"id": "x"}, K.BAD_ANSWER),
    (200, oai("You exceeded your current quota", "insufficient_quota"), K.NO_CREDIT),
    (401, oai("This key is not enabled for this model"), K.BAD_KEY),
    (402, oai("Pictures are not available on this model: add funds"), K.NO_CREDIT),
    (403, oai("Access is not allowed for this model"), K.BAD_KEY),
    (404, oai("Chat is not supported by this model"), K.NO_MODEL),
    (408, oai("More time is not available for this model"), K.OVERLOADED),
    (429, oai("More requests are not allowed for this model"), K.RATE_LIMITED),
    (429, oai("Faster calls are only supported by certain models"), K.RATE_LIMITED),
    (422, oai("System role not supported"), K.UNABLE),
    (400, oai("The value 'content policy' is not supported by this model"), K.UNABLE),
    (400, oai("'our content policy': roles must be such; conversation roles must alternate"), K.UNABLE),
    (204, b"", K.BAD_ANSWER),
    (400, b"<html><h1>400</h1></html>", K.BAD_REQUEST),
    (403, b"<html>blocked</html>", K.BAD_KEY),
    (413, b"<html>413 Request Entity Too Large</html>", K.BAD_REQUEST),
    (418, b"", K.BAD_REQUEST),
    (429, b"", K.RATE_LIMITED),
    (500, b"Internal Server Error", K.OVERLOADED),
    (502, b"<html>Bad Gateway</html>", K.OVERLOADED),
    (504, b"", K.OVERLOADED),
    (520, b"\xff\xfe", K.OVERLOADED),
    (400, [oai("too long", "context_length_exceeded")], K.TOO_LONG),
    (400, {"error": ["a", "b"]}, K.BAD_REQUEST),
    (400, {"error": {"message": {"detail": "x"}, "code": [1], "type": 7, "param": {}}}, K.BAD_REQUEST),
    (429, "just a string", K.RATE_LIMITED),
]


@pytest.mark.fault("b1-overload")
@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize(("status", "body", "kind"), ROWS)
def test_a_refusal_means_one_thing_whatever_its_shape(dialect, status, body, kind):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signal = DIALECTS[dialect].error(status, {}, raw)
    assert (signal.kind, signal.phase, signal.status) == (kind, Phase.HEADERS, status)
    if kind is not K.UNABLE or dialect != "gemini":  # which may refuse in words that no caller wrote
        told = kind in {K.BAD_REQUEST, K.TOO_LONG, K.FILTERED, K.UNABLE}
        assert (signal.told is not None) == told
    if signal.told is not None:
        assert 400 <= signal.told.status <= 422
        assert signal.told.message
        assert signal.told.code is None or isinstance(signal.told.code, str)


def judge(status, body, headers=None):
    return DIALECTS["vllm"].error(status, headers or {}, json.dumps(body).encode())


def test_the_callers_fault_is_told_in_openais_words():
    told = judge(400, oai("temperature must be non-negative", 400, "BadRequestError", "temperature")).told
    assert (told.status, told.type, told.code, told.param) == (
        400,
        "invalid_request_error",
        None,
        "temperature",
    )
    assert told.message == "temperature must be non-negative"
    assert judge(400, oai("x", 3230)).told.code == "3230"
    refused = judge(400, oai("x", "unsupported_value", param="stop")).told
    assert (refused.code, refused.param) == ("unsupported_value", "stop")
    assert judge(400, oai("`x` is deprecated for this model.")).told.code == "unsupported_parameter"
    assert (
        judge(400, oai(CONTEXT, 400, "BadRequestError", "input_tokens")).told.code
        == "context_length_exceeded"
    )
    assert judge(400, oai("x", "content_policy_violation")).told.code == "content_policy_violation"


def test_validation_errors_are_flattened_without_the_callers_input():
    body = {"detail": [{"loc": ["body", "messages", 0], "msg": "bad", "input": "my secret prompt"}]}
    told = judge(422, body).told
    assert told.status == 422
    assert told.message == "body.messages.0: bad"


@pytest.mark.fault("b11-secret")
@pytest.mark.parametrize(
    "secret",
    ["sk-proj-abcdef123456", "Bearer abc.def", "sk-ab*****2345", "org-abcdefgh1234", "gsk_abc-gsk-abcdef"],
)
def test_nothing_like_a_credential_is_told_or_logged(secret):
    signal = judge(400, oai(f"Wrong: {secret} is wrong", secret, param=secret))
    assert secret not in signal.told.message
    assert (signal.told.code, signal.told.param) == (None, None)
    assert secret not in signal.detail
    assert len(judge(400, oai("x" * 100_000)).told.message) <= 2048


def test_a_message_that_echoes_the_caller_does_not_close_the_upstream():
    for echo in (
        "insufficient balance",
        "Your credit balance is too low",
        "invalid API key",
        "invalid model",
    ):
        assert judge(400, oai(f"1 validation error: input '{echo}'")).kind is K.BAD_REQUEST


def test_the_log_detail_holds_no_text_of_the_upstream():
    signal = judge(500, oai("the prompt was: hello", "what the caller said: " + "x" * 80))
    assert "hello" not in signal.detail
    assert "caller" not in signal.detail


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry-after": "7"}, 7),
        (429, {"retry-after-ms": "250"}, 0.25),
        (503, {"retry-after": "7"}, 7),
        (429, {"x-ratelimit-reset-tokens": "1m30s"}, 90),
        (429, {"retry-after": "2", "x-ratelimit-reset-tokens": "1m30s"}, 2),
        (503, {"x-ratelimit-reset-tokens": "1m30s"}, None),
        (429, {}, None),
    ],
)
def test_the_wait_asked_for_is_kept(status, headers, seconds):
    assert judge(status, {}, headers).retry_after_s == seconds


def test_a_status_that_is_no_success_is_an_error_for_replies_too():
    signal = DIALECTS["openai"].reply(make_call(), make_upstream(), 503, {}, b"")
    assert signal.kind is K.OVERLOADED


@pytest.mark.parametrize(
    ("status", "headers", "opens"),
    [
        (200, {"content-type": "text/event-stream"}, True),
        (200, {"content-type": "Text/Event-Stream; charset=utf-8", "content-encoding": "identity"}, True),
        (200, {"content-type": "text/event-stream", "content-encoding": "gzip"}, False),
        (200, {"content-type": "application/json"}, False),
        (200, {"content-type": "text/html"}, False),
        (200, {}, False),
        (204, {"content-type": "text/event-stream"}, False),
        (500, {"content-type": "text/event-stream"}, False),
    ],
)
def test_only_a_plain_stream_of_events_opens(status, headers, opens):
    assert DIALECTS["openai"].opens(status, headers) is opens


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"data: {}\n\n",
        b'{"choices":null}',
        b'{"choices":{}}',
        b'{"choices":[null]}',
        b'{"choices":[{"message":null}]}',
        b'{"choices":[{"message":{},"finish_reason":"abort"}]}',
        b'{"choices":[{"message":{"tool_calls":{"a":1}}}]}',
        b'{"choices":[{"message":{"tool_calls":[7]}}]}',
        b'{"choices":[{"message":{"tool_calls":[{"function":[]}]}}]}',
        b"[" * 100_000,
    ],
)
def test_a_success_without_an_answer_is_a_failure(body):
    signal = DIALECTS["openai"].reply(make_call(), make_upstream(), 200, {}, body)
    assert signal.kind in {K.BAD_ANSWER, K.OVERLOADED}
    assert signal.told is None


def test_headers_are_ours_and_the_operators_never_the_callers():
    upstream = replace(make_upstream(), headers=(("OpenAI-Organization", "org"), ("User-Agent", "mine")))
    sent = dict(DIALECTS["openai"].request(make_call(), TARGET, upstream, NOTHING_RECALLED).headers)
    assert sent == {
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "mine",
        "x-request-id": "req_1",
        "x-client-request-id": "req_1",
        "authorization": "Bearer sk-secret",
        "openai-organization": "org",
    }
