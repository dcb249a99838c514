"""What every refusal of Google's means: one row for each shape."""

import json

import pytest

from proxy.call import Kind, Phase
from proxy.wire.gemini import Gemini
from tests.wire.samples import make_call, make_upstream

K = Kind
TYPE = "type.googleapis.com/google.rpc."


def error(code, status, message="x", *details):
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def info(reason):
    return {"@type": f"{TYPE}ErrorInfo", "reason": reason}


def retry(delay):
    return {"@type": f"{TYPE}RetryInfo", "retryDelay": delay}


def quota(quota_id, value="10"):
    return {"@type": f"{TYPE}QuotaFailure", "violations": [{"quotaId": quota_id, "quotaValue": value}]}


PER_MINUTE = quota("GenerateContentPaidTierInputTokensPerModelPerMinute")
PER_DAY = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
SPENT = "You exceeded your current quota, please check your plan and billing details."
LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
ROWS = [
    (400, error(400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID")), K.BAD_KEY, None),
    (400, error(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."), K.BAD_KEY, None),
    (400, error(400, "INVALID_ARGUMENT", LONG), K.TOO_LONG, None),
    (400, error(400, "INVALID_ARGUMENT", "temperature must be in range"), K.BAD_REQUEST, None),
    (400, error(400, "INVALID_ARGUMENT", "Logprobs is not enabled for models/x"), K.UNABLE, None),
    (400, error(400, "INVALID_ARGUMENT", "Penalty is not enabled for this model"), K.UNABLE, None),
    (400, error(400, "INVALID_ARGUMENT", "Logprobs is not supported for the current model."), K.UNABLE, None),
    (400, error(400, "INVALID_ARGUMENT", "Unsupported MIME type: text/x"), K.UNABLE, None),
    (400, error(400, "INVALID_ARGUMENT", "* GenerateContentRequest.tools[0]: empty"), K.UNABLE, None),
    (400, error(400, "INVALID_ARGUMENT", "A function call turn comes right after a user's"), K.UNABLE, None),
    (400, error(400, "INVALID_ARGUMENT", "The schema has too many states for serving."), K.UNABLE, None),
    (
        400,
        error(400, "INVALID_ARGUMENT", "Function call is missing a thought_signature in functionCall parts."),
        K.UNABLE,
        None,
    ),
    (400, error(400, "FAILED_PRECONDITION", "User location is not supported for the API"), K.BAD_KEY, None),
    (400, error(400, "FAILED_PRECONDITION", "Not free here. Please enable billing"), K.BAD_KEY, None),
    (400, error(400, "FAILED_PRECONDITION", "Please enable billing on project"), K.NO_CREDIT, None),
    (401, error(401, "UNAUTHENTICATED"), K.BAD_KEY, None),
    (403, error(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), K.BAD_KEY, None),
    (403, error(403, "PERMISSION_DENIED", "x", info("SERVICE_DISABLED")), K.BAD_KEY, None),
    (403, error(403, "PERMISSION_DENIED", "x", info("BILLING_DISABLED")), K.NO_CREDIT, None),
    (404, error(404, "NOT_FOUND", "models/x is not found for API version v1beta"), K.NO_MODEL, None),
    (429, error(429, "RESOURCE_EXHAUSTED", SPENT, PER_MINUTE, retry("48s")), K.RATE_LIMITED, 48.0),
    (429, error(429, "RESOURCE_EXHAUSTED", SPENT, PER_MINUTE, retry("34.5s")), K.RATE_LIMITED, 34.5),
    (
        429,
        error(429, "RESOURCE_EXHAUSTED", SPENT, PER_MINUTE, retry({"seconds": 3, "nanos": 500_000_000})),
        K.RATE_LIMITED,
        3.5,
    ),
    (429, error(429, "RESOURCE_EXHAUSTED", SPENT, PER_DAY, retry("20s")), K.NO_CREDIT, None),
    (429, error(429, "RESOURCE_EXHAUSTED", SPENT, quota("PerMinute", "0"), retry("20s")), K.NO_CREDIT, None),
    (429, error(429, "RESOURCE_EXHAUSTED", SPENT, PER_MINUTE), K.NO_CREDIT, None),
    (429, error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted"), K.RATE_LIMITED, None),
    (429, error(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), K.NO_CREDIT, None),
    (429, error(429, "RESOURCE_EXHAUSTED", SPENT, PER_MINUTE, retry("-3s")), K.NO_CREDIT, None),
    (429, [error(429, "RESOURCE_EXHAUSTED", SPENT, PER_MINUTE, retry("1s"))], K.RATE_LIMITED, 1.0),
    (499, error(499, "CANCELLED"), K.OVERLOADED, None),
    (500, error(500, "INTERNAL"), K.OVERLOADED, None),
    (500, error(500, "INTERNAL", "token count exceeds the maximum"), K.TOO_LONG, None),
    (503, error(503, "UNAVAILABLE", "The model is overloaded."), K.OVERLOADED, None),
    (503, error(503, "UNAVAILABLE", "The model is overloaded.", retry("2s")), K.OVERLOADED, 2.0),
    (504, error(504, "DEADLINE_EXCEEDED"), K.OVERLOADED, None),
    (502, b"<html>Bad gateway</html>", K.OVERLOADED, None),
    (413, b"", K.BAD_REQUEST, None),
    (400, b"[]", K.BAD_REQUEST, None),
    (400, error("four", 7, ["x"], 3), K.BAD_REQUEST, None),
    (200, b"<html>Welcome</html>", K.BAD_ANSWER, None),
]


def encoded(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.parametrize(("status", "body", "kind", "wait"), ROWS)
def test_a_refusal_means(status, body, kind, wait):
    signal = Gemini().error(status, {}, encoded(body))
    assert (signal.kind, signal.retry_after_s) == (kind, wait)
    assert (signal.phase, signal.status) == (Phase.HEADERS, status)


INSIDE = [
    row for row in ROWS if isinstance(row[1], dict | list) and row[0] >= 400 and "four" not in str(row[1])
]


@pytest.mark.parametrize(("status", "body", "kind", "wait"), INSIDE)
def test_the_same_inside_a_success_means_the_same(status, body, kind, wait):
    reply = Gemini().reply(make_call(), make_upstream(), 200, {}, encoded(body))
    reader = Gemini().reader(make_call(), make_upstream())
    reader.feed(b"data: " + encoded(body) + b"\n\n")
    for signal in (reply, reader.failure):
        assert (signal.kind, signal.retry_after_s, signal.phase) == (kind, wait, Phase.HEADERS)


def test_only_the_callers_own_faults_are_told():
    long = Gemini().error(400, {}, encoded(error(400, "INVALID_ARGUMENT", LONG)))
    assert (long.told.code, long.told.message, long.told.status) == ("context_length_exceeded", LONG, 400)
    plain = Gemini().error(400, {}, encoded(error(400, "INVALID_ARGUMENT", "bad AIzaSyA-1234567890")))
    assert (plain.told.code, plain.told.message) == (None, "bad [removed]")
    key = error(400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID"))
    assert Gemini().error(400, {}, encoded(key)).told is None


def test_the_log_sees_googles_word_and_no_text():
    assert Gemini().error(404, {}, encoded(error(404, "NOT_FOUND"))).detail == "404 NOT_FOUND"
    assert Gemini().error(404, {}, encoded(error(404, "Tell me a secret"))).detail == "404"


def test_a_header_goes_before_the_body():
    body = encoded(error(429, "RESOURCE_EXHAUSTED", SPENT, PER_MINUTE, retry("48s")))
    assert Gemini().error(429, {"retry-after": "2"}, body).retry_after_s == 2.0
