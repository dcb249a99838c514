"""What names of variables say, and how amounts are read, row by row."""

import pytest

from proxy.config import ConfigError
from proxy.config.importing import amounts, read_env_file
from proxy.config.importing.address import base_url
from proxy.config.importing.names import LimitReading, Reading, Unread, read
from proxy.facts.variables import Says
from proxy.facts.vendors import VENDORS, by_model, by_word

OPENAI, GEMINI, DEEPSEEK, OLLAMA = map(by_word, ("openai", "google", "deepseek", "ollama"))

UNDERSTOOD = [
    ("OPENAI_API_KEY", Reading(Says.KEY, OPENAI, what="api_key")),
    ("AI_OPENAI_API_KEY", Reading(Says.KEY, OPENAI, what="api_key")),
    ("LLM_DEEPSEEK_BASE_URL", Reading(Says.URL, DEEPSEEK, what="base_url")),
    ("GOOGLE_GENERATIVE_AI_API_KEY", Reading(Says.KEY, GEMINI, what="api_key")),
    ("OLLAMA_HOST", Reading(Says.URL, OLLAMA, what="host")),
    ("AI_GEMINI_MODEL", Reading(Says.MODEL, GEMINI, what="model")),
    ("DEEPSEEK_PLANNER_MODEL", Reading(Says.MODEL, DEEPSEEK, what="planner")),
    ("LLM_DEEP_THOUGHT_MODEL", Reading(Says.MODEL, what="deep-thought")),
    ("LLM_PRIMARY_PROVIDER", Reading(Says.PROVIDER, place=0, what="provider")),
    ("FALLBACK_PROVIDER", Reading(Says.PROVIDER, place=1, what="provider")),
    ("LLM_FALLBACK_MODEL", Reading(Says.MODEL, place=1, what="model")),
    ("AI_PROVIDER_ORDER", Reading(Says.ORDER, what="provider_order")),
    ("PROVIDER_ORDER", Reading(Says.ORDER, what="provider_order")),
    ("FALLTHROUGH_ORDER", Reading(Says.ORDER)),
    ("LLM_TIMEOUT", Reading(Says.ANSWER, what="timeout")),
    ("OPENAI_TIMEOUT_MS", Reading(Says.ANSWER, OPENAI, what="timeout_ms")),
    ("CIRCUIT_BREAKER_RESET_TIMEOUT", Reading(Says.OPEN, what="circuit_breaker_reset_timeout")),
    ("AI_CIRCUIT_BREAKER_FAIL_MAX", Reading(Says.FAILURES, what="circuit_breaker_fail_max")),
    ("AI_TENANT_DAILY_TOKEN_LIMIT", LimitReading("tokens", "day", "tenant")),
    ("TENANT_MONTHLY_TOKEN_QUOTA", LimitReading("tokens", "month", "tenant")),
    ("AI_USER_REQUESTS_PER_HOUR", LimitReading("requests", "hour", "user")),
    ("AI_OPENAI_DAILY_TOKEN_LIMIT", LimitReading("tokens", "day", None, OPENAI)),
    ("LLM_RATE_LIMIT_PER_MINUTE", LimitReading("requests", "minute")),
    ("GEMINI_RPM", LimitReading("requests", "minute", None, GEMINI)),
    ("AI_ORGANIZATION_MONTHLY_BUDGET", LimitReading("usd", "month", "tenant")),
]
NOT_OURS = [
    *("PATH", "API_KEY", "MODEL", "TIMEOUT", "DATABASE_URL", "DJANGO_SECRET_KEY", "MAX_REQUESTS_PER_DAY"),
    *("OPENAIR_API_KEY", "USER", "PROVIDER", "RETRIES", "AIRFLOW_HOME", "FALLBACK_URL"),
]


@pytest.mark.parametrize(("name", "reading"), UNDERSTOOD)
def test_a_name_is_read_as_prefix_who_and_what(name, reading):
    assert read(name) == reading


@pytest.mark.parametrize("name", NOT_OURS)
def test_what_may_be_another_programs_is_left_alone(name):
    assert read(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("AZURE_OPENAI_API_KEY", "Azure"),
        ("AI_BEDROCK_REGION", "AWS"),
        ("OPENAI_EMBEDDING_MODEL", "embeddings"),
        ("CIRCUIT_BREAKER_HALF_OPEN_MAX_CALLS", "probe"),
        ("AI_SYSTEM_PROMPT", "prompts"),
        ("LLM_MYSTERY", "nothing here is known"),
        ("AI_TENANT_DAILY_TOKEN_REQUEST_LIMIT", "nothing here is known"),
    ],
)
def test_what_is_about_ai_and_has_no_counterpart_is_left_with_its_reason(name, why):
    found = read(name)
    assert isinstance(found, Unread)
    assert why in found.why


def test_no_two_vendors_have_a_name_in_common():
    words = [word for vendor in VENDORS for word in (vendor.name, *vendor.words)]
    stems = [stem for vendor in VENDORS for stem in (vendor.name.upper().replace("-", "_"), *vendor.stems)]
    assert len(words) == len(set(words))
    assert len(set(stems)) == len({(stem, read(f"{stem}_API_KEY").vendor.name) for stem in stems})


def test_a_model_without_a_prefix_has_the_vendor_that_makes_it():
    assert [
        by_model(name) and by_model(name).name for name in ("gpt-4o", "claude-opus-5", "o3-mini", "x")
    ] == [
        *("openai", "anthropic", "openai"),
        None,
    ]


@pytest.mark.parametrize(
    ("value", "span"),
    [
        *((60, "60s"), ("60", "60s"), ("0.5", "0.5s"), ("2m", "2m"), ("90 seconds", "90s"), ("1h", "1h")),
        *(("60000", "60s"), (1500, "1500ms"), ("250ms", "250ms"), ("0", None), ("soon", None), (True, None)),
    ],
)
def test_a_time_has_its_unit_and_many_seconds_are_milliseconds(value, span):
    assert amounts.duration(value) == span


def test_a_time_whose_name_says_milliseconds_is_in_them():
    assert (amounts.duration("500", milliseconds=True), amounts.duration("5s", milliseconds=True)) == (
        "500ms",
        "5s",
    )


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *((5, 5), ("50_000", 50_000), ("50,000", 50_000), ("50k", 50_000), ("1.5M", 1_500_000), ("0", None)),
        *(("-1", None), ("1.5", None), ("many", None), (True, None), ("", None)),
    ],
)
def test_a_count_is_a_whole_number_above_nothing(value, number):
    assert amounts.count(value) == number


def test_money_is_exact_and_never_less_than_it_was():
    assert amounts.per_million("0.0000025") == 2.5
    assert amounts.per_million(3e-06) == 3
    assert amounts.per_million("1e-16") == 1e-09
    assert (amounts.per_million("x"), amounts.per_million(-1), amounts.per_million(True)) == (
        None,
        None,
        None,
    )
    assert (amounts.dollars("$20"), amounts.dollars("19.5"), amounts.dollars("0")) == (20, 19.5, None)


@pytest.mark.parametrize(
    ("value", "marks"),
    [
        ("80", [80]),
        ("0.8", [80]),
        ("90,75%", [75, 90]),
        ("1", [100]),
        ("0", None),
        ("x", None),
        ("101", None),
    ],
)
def test_marks_are_percentages_however_they_are_written(value, marks):
    assert amounts.marks(value) == marks


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:11434", "http://localhost:11434/v1"),
        ("http://h/", "http://h/v1"),
        ("https://h/api/v1/", "https://h/api/v1"),
        *(
            (text, None)
            for text in ("http://me:secret@h", "http://h/v1?key=x", "http://h:99999", "http://", "a b")
        ),
        *((text, None) for text in ("${URL}", "http://${HOST}/v1", "http://h/\\x")),
    ],
)
def test_an_address_gets_its_scheme_and_path_and_one_that_may_hold_a_secret_is_none(text, url):
    assert base_url(text, OLLAMA) == url


def test_an_env_file_is_read_as_shells_and_docker_agree_on_it():
    text = "A=1\n\n# B=2\nexport C = \"x # y\" # z\nD='q'\nE=a#b #c\nF=\nA=3\r\n"
    found = read_env_file("f", text.encode())
    assert found.values == {"A": "3", "C": "x # y", "D": "q", "E": "a#b", "F": ""}
    assert (found.lines["A"], found.place("C"), found.place("Z")) == (8, "f:4: C", "Z")


def test_every_line_of_an_env_file_that_is_none_is_told_and_nothing_of_it_shown():
    with pytest.raises(ConfigError) as caught:
        read_env_file("f", b"A=1\nsk-canary\n=x\n")
    assert [fault.line for fault in caught.value.faults] == [2, 3]
    assert "canary" not in str(caught.value)
    for data in (b"\xff=1", b"#" * (1024 * 1024 + 1)):
        with pytest.raises(ConfigError):
            read_env_file("f", data)
