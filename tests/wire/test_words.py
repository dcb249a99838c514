"""What of an upstream's words is a word, what is a place, and what is told to nobody but the caller."""

import json

import pytest
from msgspec.structs import replace

from proxy.call import Kind, Phase, Signal
from proxy.errors import Told
from proxy.table import Secret
from proxy.wire import DIALECTS
from proxy.wire.complaints import Complaint
from proxy.wire.errors import _CODES, _TYPES
from proxy.wire.words import MOST_CHARS, discreet, path, scrub, word
from tests.wire.samples import make_call, make_upstream

CODES = (
    *_CODES,
    *_TYPES,
    "unsupported_value",
    "invalid_image_url",
    "string_above_max_length",
    "Bad Request",
    "Throttling.AllocationQuota",
    "DataInspectionFailed",
    "RESOURCE_EXHAUSTED",
    "InvalidEndpointOrModel.NotFound",
    "InvalidEndpointOrModel.ModelIDAccessDisabled",
    "InputTextSensitiveContentDetected.PolicyViolation",
    "OutOfMemory",
    "NoCapacity",
    "NoSuchModel",
    "AccessKeyIdInvalid",
    "http_429",
    "E1003",
    "error-3230",
    "3230",
    "100003",
    400,
    0,
)
KEYS = (
    "sk-live-9f8e7d6c5b4a39281706",
    "sk_live_abcdefghijkl",
    "sk-proj-abcdefgh",
    "sk-ab*****2345",
    "gsk_abcdefghijklmnop",
    "AI" + "zaSyA-abcdefghijklmnopqrstuvwxyz_0123",
    "Bearer abc",
    "Bearer sk-live-9f8e7d6c5b4a39281706",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "AK" + "IAIOSFODNN7EXAMPLE",
    "hf_abcdefghijklmnop",
    "9f8e7d6c5b4a39281706",
    "d41d8cd98f00b204e9800998ecf8427e",
    "kT3xQ9mZpL2vB7nWcR5yHsD1fG8jA4eU",
    "dGhpcyBpcyBhIHNlY3JldCBrZXk=",
    "kTxQmZpLvBnWc",
    "TxQmZpLv.BnWcRyHs",
    "AbCdEfGh",
    "b7Kq-2xYw-9LmZ",
)
TEXTS = (
    "Upstream blocked: Jane Doe is expecting",
    "Leak: the answer was tumour malignant",
    "what the caller said",
    "tumour malignant",
    "Jane: yes",
    "123-45-6789",
    "4111 1111 1111 1111",
    "4111111111111111",
    "jane@example.org",
    "the_patient_has_a_tumour_that_is_malignant",
    "ThePatientHasATumourThatIsMalignantAndSheKnows",
    "one\ntwo",
    "naïve",
    "",
    4111111111111111,
    -1,
    True,
    1.5,
    None,
    ["x"],
)
PATHS = (
    "messages",
    "max_tokens",
    "n",
    "messages.0.content",
    "messages[1].content",
    "messages.[1].role",
    "tools[0].function.name",
    "tools[0].function.parameters.properties.fileName",
    "body.max_tokens",
    "response_format.json_schema.schema",
    "x-request-id",
    "hf_overrides",
    "logit_bias.100257",
    "logit_bias.200018",
    "tools[0].function.parameters.properties.userIDs",
    "response_format.json_schema.schema.$defs.Foo",
    "response_format.json_schema.schema.properties.a.$ref",
)
NUMBERS = (
    "n.4111111111111111",
    "n.4111.1111.1111.1111",
    "n.123.45.6789",
    "n.5551234.5678",
    "$",
    "a.$$b",
    "a.$1",
)


@pytest.mark.parametrize("code", CODES)
def test_the_words_of_vendors_are_kept(code):
    assert word(code) == str(code)


@pytest.mark.fault("b11-secret")
@pytest.mark.parametrize("said", [*KEYS, *TEXTS, "ThePatientHas.TumourThatIs.MalignantAndShe.KnowsIt"])
def test_no_sentence_and_nothing_like_a_credential_is_a_word(said):
    assert word(said) == ""


@pytest.mark.parametrize("place", PATHS)
def test_the_place_of_a_member_is_kept(place):
    assert path(place) == place


@pytest.mark.fault("b11-secret")
@pytest.mark.parametrize(
    "said", [*KEYS, *TEXTS, "messages[0].sk-live-abcdefgh", "m.9f8e7d6c5b4a39281706", *NUMBERS]
)
def test_no_sentence_and_nothing_like_a_credential_is_a_place(said):
    assert path(said) is None


@pytest.mark.fault("b11-secret")
@pytest.mark.parametrize(
    "secret",
    ["d41d8cd98f00b204e9800998ecf8427e", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "hf_abcdefghijklmnop"],
)
def test_a_credential_is_taken_out_of_a_text(secret):
    assert scrub(f"The key {secret}, is wrong.") == "The key [removed], is wrong."


@pytest.mark.fault("b11-secret")
@pytest.mark.parametrize(
    "secret",
    [
        "sk_9f8e7d6c5b4a39281706",
        "sk_live_abcdefghijkl",
        "rk_test_9f8e7d6c5b4a",
        "pk_abc_9f8e7d6c5b4a",
        "sk_ab*****2345",
        "hf_abcdefghijklmnop",
        "gsk_9f8e7d6c5b4a",
        "ghp_9f8e7d6c5b4a39281706",
        "github_pat_11ABCDEFG_abcdefgh",
        "org-abcdefghijklmnop",
        "proj_abcd1234efgh",
        "d41d8cd98f00b204e9800998ecf8427e",
        "kT3xQ9mZpL2vB7nWcR5yHsD1fG8jA4eU",
    ],
)
@pytest.mark.parametrize("text", ["The key {}, is wrong.", "Key '{}'", "https://there/v1?key={}&x=1"])
def test_a_credential_is_taken_out_wherever_it_stands(secret, text):
    assert scrub(text.format(secret)) == text.format("[removed]")


@pytest.mark.parametrize(
    "text",
    [
        "No output for call_9bHwLd3kQz1xYv7Tn5Rc2Mfa of messages[3]: invalid_function_parameters.",
        "Invalid schema for function 'pk_lookup': schema must be an object.",
        "Invalid schema for function 'sk_search_documents_v2'",
        "Invalid schema for function 'rk_internationalization', 'sk_test_connection'.",
        "Unknown functions: ft_get_transactions_2026",
        "Unknown parameter: 'hf_overrides'.",
        "Unknown parameters: hf_processor_kwargs, fw_settings, org_membership, proj_settings.",
        "Tool call id was chatcmpl-tool-d41d8cd98f00b204e9800998ecf8427e but must be a-z.",
        "No answer chatcmpl-d41d8cd98f00b204e9800998ecf8427e.",
        "Error while downloading https://cdn.example.org/img/d41d8cd98f00b204e9800998ecf8427e.png",
        "(Please include the request ID d41d8cd98f00b204e9800998ecf8427e in your message.)",
        "Request id: d41d8cd98f00b204e9800998ecf8427e",
    ],
)
def test_names_and_ids_that_a_caller_needs_stay_in_a_text(text):
    assert scrub(text) == text


BARE = "correct horse battery"
"""A key that no shape gives away."""


@pytest.mark.fault("b11-secret")
def test_what_the_upstream_was_sent_to_know_us_by_is_taken_out_whatever_it_looks_like():
    upstream = replace(make_upstream(), api_key=Secret(BARE), headers=(("x-team", "Token tiger4lily"),))
    for secret in (BARE, "tiger4lily"):
        told = Told(400, f"{secret} is no good", "invalid_request_error", f"{secret}", f"a.{secret}")
        kept = discreet(Signal(Kind.BAD_REQUEST, Phase.HEADERS, 400, None, told, f"400 {secret}"), upstream)
        assert secret not in repr(kept)
        assert kept.told.message == "[removed] is no good"
    harmless = Signal(Kind.BAD_REQUEST, Phase.HEADERS, 400, None, Told(400, "Token", "x"), "400 x")
    assert discreet(harmless, upstream) == harmless


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "anthropic-beta",
            "context-1m-2025-08-07",
            "Unexpected value(s) context-1m-2025-08-07 for the anthropic-beta header.",
        ),
        ("Anthropic-Version", "2023-06-01", "2023-06-01 is no version."),
        ("api-version", "2024-10-21", "There is no API 2024-10-21."),
        ("User-Agent", "fallthrough/2026", "No fallthrough/2026 here."),
        ("content-type", "text/x-2026", "What is text/x-2026?"),
    ],
)
def test_what_is_known_to_be_no_credential_of_ours_stays_in_a_text(name, value, text):
    upstream = replace(make_upstream(), headers=((name, value),))
    signal = Signal(Kind.BAD_REQUEST, Phase.HEADERS, 400, None, Told(400, text, "x"), "400 x")
    assert discreet(signal, upstream) == signal


@pytest.mark.fault("b11-secret")
@pytest.mark.parametrize(
    "name", ["x-team", "x-beta-key", "version-token", "cookie", "user-agent-key", "referer"]
)
def test_every_other_header_of_the_operators_may_be_a_credential(name):
    upstream = replace(make_upstream(), headers=((name, "Token tiger4lily"),))
    signal = Signal(Kind.BAD_REQUEST, Phase.HEADERS, 400, None, Told(400, "No tiger4lily", "x"), "400 x")
    assert discreet(signal, upstream).told.message == "No [removed]"


UNMARKED = "3f2c9a1e-7b44-4e0c-9d6a-aa11bb22cc33"
"""A key that no shape gives away, whole or cut."""


@pytest.mark.fault("b11-secret")
@pytest.mark.parametrize("shown", [*range(4, len(UNMARKED)), 3 * len(UNMARKED)])
@pytest.mark.parametrize("shrinks", [0, 110])
@pytest.mark.parametrize("then", [" and so on" * 20, "x" * 200])
def test_no_beginning_of_our_key_is_left_where_a_text_was_cut(shown, shrinks, then):
    longest = 2 * MOST_CHARS if shrinks else MOST_CHARS - 1
    removed = "d41d8cd98f00b204e9800998ecf8427e " * shrinks
    filled = "x " * ((longest - len(removed) - shown) // 2)
    text = f"{removed}{filled}".ljust(longest - shown, ".") + UNMARKED + then
    upstream = replace(make_upstream(), api_key=Secret(UNMARKED))
    told = Told(400, scrub(text), "x")
    kept = discreet(Signal(Kind.BAD_REQUEST, Phase.HEADERS, 400, None, told, "400"), upstream)
    assert "[removed]" in kept.told.message[-300:]
    assert UNMARKED[:4] not in kept.told.message


def shapes(leak):
    """The error bodies of all vendors with `leak` wherever a word may stand."""
    yield {"error": {"message": "no", "type": leak, "code": leak, "param": leak}}
    yield {"error": {"message": "no", "type": leak, "code": None}}
    yield {"object": "error", "message": "no", "type": leak, "code": leak}
    yield {"type": "error", "error": {"type": leak, "message": "no", "details": {"error_code": leak}}}
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": leak, "domain": leak}]
    yield {"error": {"code": 400, "status": leak, "message": "no", "details": details}}
    yield [{"error": {"code": leak, "status": leak, "message": "no"}}]


@pytest.mark.fault("b11-secret")
@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize("leak", [text for text in KEYS + TEXTS if isinstance(text, str) and text])
def test_no_dialect_lets_a_secret_a_prompt_or_an_answer_into_a_signal(dialect, leak):
    speaks, call, upstream = DIALECTS[dialect], make_call(), make_upstream()
    for body in shapes(leak):
        raw = json.dumps(body).encode()
        found = [speaks.error(status, {}, raw) for status in (200, 400, 403, 429, 503)]
        found.append(speaks.reply(call, upstream, 200, {}, raw))
        reader = speaks.reader(call, upstream)
        reader.feed(b"event: error\ndata: " + raw + b"\n\n")
        found += [reader.failure] if reader.failure is not None else []
        for signal in found:
            assert leak not in signal.detail
            told = signal.told
            assert told is None or leak not in {told.code, told.type, told.param}


def test_a_complaint_without_a_word_is_logged_by_its_status():
    signal = DIALECTS["openai"].error(503, {}, b'{"error":{"type":"Upstream blocked: hello","message":"m"}}')
    assert signal.detail == "503"
    assert Complaint().code == ""
