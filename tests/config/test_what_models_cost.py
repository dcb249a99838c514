"""Prices and facts of models: the file's own before the packaged ones."""

import pytest

from proxy.config import load
from proxy.usage import Price
from tests.config.test_good import SMALL


@pytest.fixture
def read(tmp_path):
    def _read(text, **environ):
        path = tmp_path / "table.yaml"
        path.write_text(text)
        return load(path, environ)

    return _read


def test_the_first_price_that_matches_holds(read):
    loaded = read(SMALL + "prices:\n  openai/gpt-4o: {input: 1, output: 2}\n  '*': {input: 3, output: 4}\n")
    assert loaded.table.routes[0].targets[0].price == Price(10**9, 2 * 10**9)


def test_a_price_may_have_tiers(read):
    loaded = read(
        SMALL + "prices:\n  openai/*:\n    input: 1\n    output: 2\n    above:\n"
        "      - {tokens: 200_000, input: 2, cached: 0.5, output: 3}\n"
    )
    assert loaded.table.routes[0].targets[0].price == Price(
        10**9, 2 * 10**9, above=((200_000, Price(2 * 10**9, 3 * 10**9, 500_000_000)),)
    )


def test_without_a_price_in_the_file_the_packaged_one_holds(read):
    packaged = read(SMALL + "limits: [{per: tenant, usd: 5, every: day}]\n").table.routes[0].targets[0]
    assert (packaged.price.input, packaged.packaged_price) == (2_500_000_000, True)
    written = read(SMALL + "prices: {'*': {input: 0, output: 0}}\n").table.routes[0].targets[0]
    assert (written.price, written.packaged_price) == (Price(0, 0), False)


def test_a_packaged_price_is_only_for_the_vendors_own_address(read):
    elsewhere = SMALL.replace("{api_key:", "{base_url: 'https://gateway.example.com/v1', api_key:")
    assert read(elsewhere).table.routes[0].targets[0].price is None


def test_the_first_correction_of_a_model_that_matches_holds(read):
    loaded = read(
        SMALL + "models:\n"
        "  openai/gpt-4*: {context: 64_000, vision: no, thinking: [], efforts: [high, low],"
        " thinks: yes, budget: [128, 32_768]}\n"
        "  '*': {output: 1}\n"
    )
    facts = loaded.table.routes[0].targets[0].facts
    assert (facts.context, facts.vision, facts.thinking, facts.efforts) == (
        64_000,
        False,
        frozenset(),
        ("low", "high"),
    )
    assert (facts.output, facts.tools) == (16_384, True)
    assert (facts.thinks, facts.budget) == (True, (128, 32_768))
