"""Refusals of Anthropic, in the shapes they have been seen in."""

import json

import pytest

from proxy.call import Kind, Phase
from proxy.wire.anthropic.dialect import Anthropic

TOO_LONG = "prompt is too long: 210000 tokens > 200000 maximum"
CAPPED = "You have reached your specified workspace API usage limits. You will regain access on 2026-12-01."

UNSIGNED = "messages.1.content.0: Invalid `signature` in `thinking` block"
HEADLESS = "messages.3.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`."


def error(kind, message="x", code=None):
    details = {"details": {"error_code": code}} if code else {}
    return {"type": "error", "error": {"type": kind, "message": message, **details}, "request_id": "req_1"}


ROWS = [
    (400, error("invalid_request_error", "messages: at least one"), Kind.BAD_REQUEST),
    (400, error("invalid_request_error", TOO_LONG), Kind.TOO_LONG),
    (400, error("invalid_request_error", UNSIGNED), Kind.UNABLE),
    (400, error("invalid_request_error", HEADLESS), Kind.UNABLE),
    (400, error("invalid_request_error", f"tools.0.name: {UNSIGNED}"), Kind.BAD_REQUEST),
    (400, error("invalid_request_error", "thinking.budget_tokens: too small"), Kind.BAD_REQUEST),
    (
        400,
        error("invalid_request_error", "Your credit balance is too low to access the API."),
        Kind.NO_CREDIT,
    ),
    (400, error("invalid_request_error", CAPPED), Kind.NO_CREDIT),
    (400, error("invalid_request_error", "x", "organization_on_hold"), Kind.BAD_KEY),
    (400, error("invalid_request_error", "x", "cmek_key_disabled"), Kind.BAD_KEY),
    (400, error("invalid_request_error", "x", "cmek_key_network_blocked"), Kind.BAD_KEY),
    (401, error("authentication_error", "invalid x-api-key"), Kind.BAD_KEY),
    (402, error("billing_error"), Kind.NO_CREDIT),
    (403, error("permission_error"), Kind.BAD_KEY),
    (404, error("not_found_error", "model: claude-x"), Kind.NO_MODEL),
    (409, error("conflict_error"), Kind.OVERLOADED),
    (413, error("request_too_large"), Kind.BAD_REQUEST),
    (429, error("rate_limit_error"), Kind.RATE_LIMITED),
    (429, error("rate_limit_error", "x", "enforced_spend_limit_reached"), Kind.NO_CREDIT),
    (429, error("rate_limit_error", "x", "contract_spend_limit_reached"), Kind.NO_CREDIT),
    (429, error("rate_limit_error", "x", "ramp_limit_exceeded"), Kind.RATE_LIMITED),
    (500, error("api_error"), Kind.OVERLOADED),
    (503, error("api_error", "x", "cmek_context_unavailable"), Kind.OVERLOADED),
    (504, error("timeout_error"), Kind.OVERLOADED),
    (529, error("overloaded_error"), Kind.OVERLOADED),
    (529, {}, Kind.OVERLOADED),
]


@pytest.mark.parametrize(("status", "body", "kind"), ROWS)
def test_a_refusal_means_one_thing_whatever_carries_it(status, body, kind):
    plain = json.dumps(body).encode()
    streamed = b"event: error\ndata: " + plain + b"\n\n"
    for data in (plain, streamed):
        signal = Anthropic().error(status, {}, data)
        assert (signal.kind, signal.phase, signal.status) == (kind, Phase.HEADERS, status)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Kind.BAD_REQUEST), (413, Kind.BAD_REQUEST), (502, Kind.OVERLOADED), (200, Kind.BAD_ANSWER)],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html><h1>413</h1></html>", b"data: <html>\n\n", b"[[[", b'"x"', b"\xff\xfe"]
)
def test_a_body_that_says_nothing_is_judged_by_its_status(status, kind, body):
    signal = Anthropic().error(status, {}, body)
    assert signal.kind is kind
    assert signal.told is None or "html" not in signal.told.message


@pytest.mark.parametrize(("status", "wait"), [(429, 7.0), (529, 7.0), (503, 7.0), (400, None), (200, None)])
def test_a_wait_is_believed_only_where_waiting_helps(status, wait):
    body = json.dumps(error("rate_limit_error" if status == 429 else "x")).encode()
    assert Anthropic().error(status, {"retry-after": "7"}, body).retry_after_s == wait


def test_the_caller_is_told_what_the_caller_did():
    told = Anthropic().error(400, {}, json.dumps(error("invalid_request_error", TOO_LONG)).encode()).told
    assert (told.status, told.code, told.message) == (400, "context_length_exceeded", TOO_LONG)


@pytest.mark.parametrize(
    ("status", "headers", "opens"),
    [
        (200, {"content-type": "text/event-stream; charset=utf-8"}, True),
        (200, {"content-type": "application/json"}, False),
        (200, {"content-type": "text/event-stream", "content-encoding": "gzip"}, False),
        (529, {"content-type": "text/event-stream"}, False),
    ],
)
def test_only_a_success_of_events_opens_a_stream(status, headers, opens):
    assert Anthropic().opens(status, headers) is opens
