"""One record out of gates kept by hand and packaged facts: the gate wins; where they differ is known."""

from importlib.resources import files

import orjson
import pytest
from msgspec.structs import replace

from proxy.abilities import ModelFacts
from proxy.facts import claude, gemini
from proxy.facts.addresses import BASE_URLS
from proxy.facts.models import facts_of, filled
from proxy.facts.packaged import find

VENDORS = orjson.loads((files("proxy.facts") / "models.json").read_bytes())["vendors"]
GATES = {"anthropic": ("anthropic", claude.describe), "google": ("gemini", gemini.describe)}


def test_a_gate_wins_and_what_it_leaves_open_is_filled():
    gates = ModelFacts(tools=False, output=4_096, thinking=frozenset())
    under = ModelFacts(tools=True, output=8_192, context=100, thinking=frozenset({"level"}))
    assert filled(gates, under) == replace(gates, context=100)


def test_a_claude_has_its_gates_and_its_sizes():
    facts = facts_of("anthropic", "claude-opus-4-5-20251101", BASE_URLS["anthropic"])
    gates = claude.describe("claude-opus-4-5-20251101")
    assert (facts.context, facts.output, facts.vision, facts.files) == (200_000, 64_000, True, True)
    assert replace(facts, context=None, output=None, vision=None, files=None) == gates


def test_behind_an_unknown_address_only_the_gates_speak():
    assert facts_of("gemini", "gemini-2.5-pro", "http://127.0.0.1:9000") == gemini.describe("gemini-2.5-pro")
    assert facts_of("openai", "gpt-4o", "http://127.0.0.1:9000") == ModelFacts()
    assert facts_of("vllm", "gpt-4o", "https://api.openai.com/v1") == ModelFacts()


DIFFERENCES = {
    # The gate allows less than the sources do: in the middle of a conversation a system's words are
    # wrapped in a user's turn, which every Claude takes.
    ("claude-fable-5-1", "inline_system"),
    ("claude-mythos-5-1", "inline_system"),
    ("claude-haiku-5.5", "inline_system"),
    ("claude-opus-5.5", "inline_system"),
    ("claude-sonnet-5", "inline_system"),
    ("claude-sonnet-5.5", "inline_system"),
}
"""Where a gate and the packaged row of a model say different things; the gate holds."""


def test_gates_and_packaged_facts_differ_only_where_that_is_known():
    found = set()
    for vendor, (dialect, describe) in GATES.items():
        for row in VENDORS[vendor]:
            for name in (written.removesuffix("*") for written in row["names"]):
                gate, packaged = describe(name), find(dialect, BASE_URLS[dialect], name).facts
                for fact in ModelFacts.__struct_fields__:
                    said = {getattr(gate, fact), getattr(packaged, fact)} - {None}
                    if len(said) > 1:
                        found.add((name, fact))
    assert found == DIFFERENCES


@pytest.mark.parametrize("dialect", ["anthropic", "gemini"])
def test_an_unknown_name_has_the_newest_gates_and_nothing_else(dialect):
    newest = {"anthropic": claude.NEWEST, "gemini": gemini.NEWEST}
    assert facts_of(dialect, "something-else", BASE_URLS[dialect]) == newest[dialect]


@pytest.mark.parametrize(
    ("model", "choices", "sampling", "efforts"),
    [
        ("gemini-1.5-pro", None, True, ()),
        ("gemini-2.0-flash", True, True, ()),
        ("gemini-2.5-flash-lite", True, True, ()),
        ("gemini-3-pro-preview", False, True, ("low", "high")),
        ("gemini-3-flash-preview", False, True, ("minimal", "low", "medium", "high")),
        ("gemini-3.1-pro-preview", False, True, ("low", "medium", "high")),
        ("gemini-3.5-flash", False, True, ("minimal", "low", "medium", "high")),
        ("gemini-3.5-flash-lite", False, False, ("minimal", "low", "medium", "high")),
        ("gemini-3.6-flash", False, False, ("minimal", "low", "medium", "high")),
        ("gemini-3.8-flash", False, False, ("low", "medium", "high")),
        ("gemini-next-year", None, True, ("low", "medium", "high")),
    ],
)
def test_geminis_differ_in_choices_sampling_and_efforts(model, choices, sampling, efforts):
    facts = gemini.describe(model)
    assert (facts.choices, facts.sampling, facts.efforts) == (choices, sampling, efforts)


def test_of_what_is_no_chat_model_only_the_packaged_tables_speak():
    facts = facts_of("gemini", "deep-research-pro-preview-12-2025", BASE_URLS["gemini"])
    assert (facts.tools, facts.schemas, facts.signed_calls) == (False, True, None)
