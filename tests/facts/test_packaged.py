"""Which row a model's name leads to, at which address, and what the packaged file may hold."""

import re
from importlib.resources import files

import orjson
import pytest

from proxy.facts.environment import ENVIRONMENT
from proxy.facts.names import plain
from proxy.facts.packaged import HOSTS, NOTHING, find
from proxy.usage import Price, Usage

TEXT = (files("proxy.facts") / "models.json").read_bytes()
FILE = orjson.loads(TEXT)
ROWS = [(vendor, row) for vendor, rows in FILE["vendors"].items() for row in rows]

OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com"
GEMINI = "https://generativelanguage.googleapis.com/v1beta"
DEEPSEEK = "https://api.deepseek.com"
MISTRAL = "https://api.mistral.ai/v1"
ROUTER = "https://openrouter.ai/api/v1"
DIALECTS = {ANTHROPIC: "anthropic", GEMINI: "gemini"}


def known(base_url, model):
    return find(DIALECTS.get(base_url, "openai"), base_url, model)


def dollars(base_url, model):
    """Input, output, cached and cache-write price, in dollars per million."""
    price = known(base_url, model).price
    if price is None:
        return None
    amounts = (price.input, price.output, price.cached, price.cache_write)
    return tuple(None if amount is None else amount / 10**9 for amount in amounts)


PRICES = [
    (OPENAI, "gpt-4o", (2.5, 10, 1.25, None)),
    (OPENAI, "GPT-4o", (2.5, 10, 1.25, None)),
    (OPENAI, "gpt-4o-2024-08-06", (2.5, 10, 1.25, None)),
    (OPENAI, "gpt-4o-2024-11-20", (2.5, 10, 1.25, None)),
    (OPENAI, "gpt-4o-2024-05-13", (5, 15, None, None)),
    (OPENAI, "chatgpt-4o-latest", (5, 15, None, None)),
    (OPENAI, "gpt-4o-mini", (0.15, 0.6, 0.075, None)),
    (OPENAI, "gpt-4o-mini-2024-07-18", (0.15, 0.6, 0.075, None)),
    (OPENAI, "gpt-4.1-nano", (0.1, 0.4, 0.025, None)),
    (OPENAI, "gpt-5", (1.25, 10, 0.125, None)),
    (OPENAI, "gpt-5-2025-08-07", (1.25, 10, 0.125, None)),
    (OPENAI, "gpt-5-mini", (0.25, 2, 0.025, None)),
    (OPENAI, "gpt-5-pro", (15, 120, None, None)),
    (OPENAI, "gpt-5-pro-2025-10-06", (15, 120, None, None)),
    (OPENAI, "gpt-4-turbo-2024-04-09", (10, 30, None, None)),
    (OPENAI, "gpt-4-1106-preview", (10, 30, None, None)),
    (OPENAI, "gpt-4-0613", (30, 60, None, None)),
    (OPENAI, "gpt-3.5-turbo-1106", (1, 2, None, None)),
    (OPENAI, "o1-2024-12-17", (15, 60, 7.5, None)),
    (OPENAI, "o1-pro", (150, 600, None, None)),
    (OPENAI, "o3-mini", (1.1, 4.4, 0.55, None)),
    (OPENAI, "o4-mini-2025-04-16", (1.1, 4.4, 0.275, None)),
    (OPENAI, "ft:gpt-4o-2024-08-06:acme:support:9abc", (3.75, 15, None, None)),
    (OPENAI, "ft:gpt-4o-mini-2024-07-18:acme::9abc", (0.3, 1.2, None, None)),
    (ANTHROPIC, "claude-sonnet-4-5", (3, 15, 0.3, 3.75)),
    (ANTHROPIC, "claude-sonnet-4-5-20250929", (3, 15, 0.3, 3.75)),
    (ANTHROPIC, "claude-sonnet-4.5", (3, 15, 0.3, 3.75)),
    (ANTHROPIC, "claude-sonnet-4-5@20250929", (3, 15, 0.3, 3.75)),
    (ANTHROPIC, "claude-sonnet-4-5-latest", (3, 15, 0.3, 3.75)),
    (ANTHROPIC, "claude-sonnet-4-20250514", (3, 15, 0.3, 3.75)),
    (ANTHROPIC, "claude-opus-4-20250514", (15, 75, 1.5, 18.75)),
    (ANTHROPIC, "claude-opus-4-0", (15, 75, 1.5, 18.75)),
    (ANTHROPIC, "claude-opus-4-1-20250805", (15, 75, 1.5, 18.75)),
    (ANTHROPIC, "claude-opus-4-5-20251101", (5, 25, 0.5, 6.25)),
    (ANTHROPIC, "claude-opus-5", (5, 25, 0.5, 6.25)),
    (ANTHROPIC, "claude-opus-5-5", (4, 20, 0.2, 5)),
    (ANTHROPIC, "claude-haiku-4-5-20251001", (1, 5, 0.1, 1.25)),
    (ANTHROPIC, "claude-3-5-haiku-20241022", (0.8, 4, 0.08, 1)),
    (ANTHROPIC, "claude-3-5-haiku-latest", (0.8, 4, 0.08, 1)),
    (ANTHROPIC, "claude-3-haiku-20240307", (0.25, 1.25, 0.03, 0.3)),
    (GEMINI, "gemini-2.5-flash", (0.3, 2.5, 0.03, None)),
    (GEMINI, "models/gemini-2.5-flash", (0.3, 2.5, 0.03, None)),
    (GEMINI, "gemini-2.5-flash-lite-preview-09-2025", (0.1, 0.4, 0.01, None)),
    (GEMINI, "gemini-2.5-flash-lite", (0.1, 0.4, 0.01, None)),
    (GEMINI, "gemini-2.0-flash-001", (0.1, 0.4, 0.025, None)),
    (GEMINI, "gemini-2.5-pro-preview-06-05", (1.25, 10, 0.125, None)),
    (GEMINI, "gemma-3-27b-it", (0, 0, None, None)),
    (DEEPSEEK, "deepseek-chat", (0.28, 1.1, 0.07, None)),
    (MISTRAL, "mistral-small-latest", (0.15, 0.6, 0.015, None)),
    (MISTRAL, "mistral-small-2603", (0.15, 0.6, 0.015, None)),
    (MISTRAL, "mistral-small-2506", (0.1, 0.3, None, None)),
    (ROUTER, "openai/gpt-4o-mini", (0.15, 0.6, 0.075, None)),
    ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", (0.59, 0.79, None, None)),
    ("https://api.x.ai/v1", "grok-4", (3, 15, 0.75, None)),
]


@pytest.mark.parametrize(("base_url", "model", "expected"), PRICES)
def test_a_name_leads_to_its_models_price(base_url, model, expected):
    assert dollars(base_url, model) == expected


NO_PRICE = [
    (OPENAI, "gpt-4o-audio-preview"),  # not gpt-4o: sound is billed apart
    (OPENAI, "gpt-4o-audio-preview-2024-12-17"),
    (OPENAI, "gpt-audio"),
    (OPENAI, "gpt-4o-realtime-preview"),
    (OPENAI, "gpt-4o-mini-tts"),
    (OPENAI, "gpt-4o-transcribe"),
    (OPENAI, "gpt-4o-something"),
    (OPENAI, "gpt-5-9"),
    (OPENAI, "gpt-5-ultra"),
    (OPENAI, "gpt-5.99"),
    (OPENAI, "gpt-4o-mini-pro"),
    (OPENAI, "gpt-image-1"),
    (OPENAI, "text-embedding-3-small"),
    (OPENAI, "ft:gpt-9:acme::1"),  # not gpt-9, whatever that will be
    (OPENAI, "ft:o3:acme::1"),
    (OPENAI, "openai/gpt-4o"),  # another host's name for it
    (OPENAI, "claude-sonnet-4-5"),
    (OPENAI, "gpt"),
    (OPENAI, ""),
    (OPENAI, "*"),
    (ANTHROPIC, "claude-opus-4-9"),
    (ANTHROPIC, "claude-opus-4-10"),
    (ANTHROPIC, "claude-opus-6"),
    (ANTHROPIC, "claude-sonnet-4-5-fast"),
    (ANTHROPIC, "claude"),
    (GEMINI, "gemini-2.5-pro-preview-tts"),
    (GEMINI, "gemini-2.5-flash-image"),
    (GEMINI, "gemini-2.5-flash-ultra"),
    (GEMINI, "gemini-3.6-flash-lite"),
    (GEMINI, "claude-opus-4-5"),
    (MISTRAL, "mistral-small-2701"),
    (MISTRAL, "mistral-embed"),
    (MISTRAL, "voxtral-small-latest"),
    ("https://api.perplexity.ai", "sonar-pro"),  # billed by the call as well
]


@pytest.mark.parametrize(("base_url", "model"), NO_PRICE)
def test_another_model_is_never_priced_as_its_neighbour(base_url, model):
    assert known(base_url, model).price is None


@pytest.mark.parametrize(
    ("dialect", "base_url"),
    [
        ("vllm", "http://127.0.0.1:8000/v1"),
        ("vllm", OPENAI),
        ("openai", "http://localhost:11434/v1"),
        ("openai", "https://gateway.example.com/v1"),
        ("openai", "https://api.openai.com.example.com/v1"),
        ("anthropic", "http://127.0.0.1:8000"),
        ("openai", ""),
    ],
)
def test_a_server_of_no_known_vendor_has_neither_price_nor_facts(dialect, base_url):
    assert find(dialect, base_url, "gpt-4o") is NOTHING


def test_a_vendor_is_known_at_any_of_its_addresses_and_in_any_dialect():
    assert find("openai", GEMINI + "/openai", "gemini-2.5-flash").price is not None
    assert find("openai", "https://API.OpenAI.com:443/v1", "gpt-4o") == known(OPENAI, "gpt-4o")


def test_answers_from_one_region_cost_more():
    assert find("openai", "https://eu.api.openai.com/v1", "gpt-4o").price == Price(
        2_750_000_000, 11_000_000_000, 1_375_000_000
    )


def test_long_prompts_cost_more():
    price = known(GEMINI, "gemini-2.5-pro").price
    assert price.cost(Usage(200_000, 0)) == 250_000_000
    assert price.cost(Usage(200_001, 1_000)) == 500_002_500 + 15_000_000
    haiku = known(ANTHROPIC, "claude-haiku-5-5").price
    assert haiku.at(100_001).cache_write == 625_000_000


def test_where_the_hour_decides_the_dearest_price_holds():
    assert dollars(DEEPSEEK, "deepseek-v4-flash") == (0.3, 1.2, 0.006, None)


def test_facts_come_with_the_name():
    facts = known(OPENAI, "gpt-4o-2024-08-06").facts
    assert (facts.context, facts.output, facts.tools, facts.vision, facts.schemas) == (
        128_000,
        16_384,
        True,
        True,
        True,
    )
    assert (facts.audio, facts.thinking, facts.efforts) == (False, frozenset(), ())
    thinker = known(OPENAI, "gpt-5").facts
    assert (thinker.context, thinker.sampling, thinker.thinking) == (400_000, False, None)
    assert thinker.efforts == ("minimal", "low", "medium", "high")
    assert known(OPENAI, "o3-mini").facts.vision is False


def test_the_models_that_need_no_file_have_a_price():
    for upstream in ENVIRONMENT:
        if upstream.base_url is not None:
            for model in {*upstream.models, upstream.default_model}:
                assert find(upstream.dialect, upstream.base_url, model).price is not None, model


@pytest.mark.parametrize(("vendor", "row"), ROWS, ids=lambda item: item if isinstance(item, str) else "")
def test_every_name_in_the_file_leads_to_its_own_row(vendor, row):
    host = next(host for host, at in HOSTS.items() if at.vendor == vendor and at.percent == 100)
    for name in row["names"]:
        found = find("openai", f"https://{host}/v1", name.replace("*", "-1234"))
        amounts = row.get("price")
        assert (found.price is None) == (amounts is None)
        if amounts is not None:
            assert [found.price.input, found.price.output] == amounts[:2]
        assert found.facts.context == row.get("context")


def test_the_file_is_sorted_small_and_says_where_it_is_from():
    assert len(TEXT) < 150_000
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", FILE["as_of"])
    assert all(re.fullmatch(r"[0-9a-f]{64}", source["sha256"]) for source in FILE["sources"])
    assert list(FILE["vendors"]) == sorted(FILE["vendors"])
    for rows in FILE["vendors"].values():
        assert [row["names"] for row in rows] == sorted(row["names"] for row in rows)
        assert all(row["names"] == sorted(row["names"]) for row in rows)
        keys = [plain(name) for row in rows for name in row["names"]]
        assert len(keys) == len(set(keys))


def test_no_money_is_a_float():
    def numbers(value):
        if isinstance(value, dict):
            value = list(value.values())
        return [one for item in value for one in numbers(item)] if isinstance(value, list) else [value]

    assert not [one for one in numbers(FILE) if isinstance(one, float)]


def test_every_vendor_has_a_host_and_rows():
    assert {host.vendor for host in HOSTS.values()} == set(FILE["vendors"])


@pytest.mark.parametrize(("vendor", "row"), ROWS, ids=lambda item: item if isinstance(item, str) else "")
def test_tiers_rise_and_an_answer_fits_its_window(vendor, row):
    steps = [tokens for tokens, *_ in row.get("above", ())]
    assert steps == sorted(set(steps))
    assert not steps or min(steps) > 0
    if "output" in row and "context" in row:
        assert row["output"] <= row["context"]
