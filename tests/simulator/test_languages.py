"""Who plays an upstream of a table, and what is spoken where."""

import pytest
from msgspec.structs import replace

from proxy.facts.capabilities import KNOWN
from proxy.simulator.languages import language, part_for
from proxy.table import Upstream


@pytest.mark.parametrize(
    ("dialect", "base_url", "record", "part"),
    [
        ("openai", "https://api.openai.com/v1", "openai", "openai"),
        ("openai", "https://api.deepseek.com", "deepseek", "deepseek"),
        ("openai", "https://api.mistral.ai/v1", "mistral", "mistral"),
        ("openai", "http://127.0.0.1:11434/v1", "ollama", "ollama"),
        ("openai", "http://gateway.example/v1", "mistral", "mistral"),
        ("openai", "http://gateway.example/v1", "plain", "vllm"),
        ("vllm", "http://127.0.0.1:8000/v1", "vllm", "vllm"),
    ],
)
def test_a_server_is_played_as_strictly_as_it_is_known_to_be(dialect, base_url, record, part):
    assert part_for(Upstream("any", dialect, base_url, capabilities=KNOWN[record])) == part


def test_a_server_whose_record_is_corrected_is_still_known_by_its_host():
    corrected = replace(KNOWN["deepseek"], nulls=not KNOWN["deepseek"].nulls)
    upstream = Upstream("any", "openai", "https://api.deepseek.com", capabilities=corrected)
    assert part_for(upstream) == "deepseek"


@pytest.mark.parametrize(
    ("path", "elsewhere"),
    [
        ("chat/completions", {}),
        ("messages", {}),
        ("models/gemini-2.5-pro:generateContent", {"model": "gemini-2.5-pro", "stream": False}),
        ("models/gemini-2.5-pro:streamGenerateContent", {"model": "gemini-2.5-pro", "stream": True}),
        ("models/gemini-2.5-pro:countTokens", None),
        ("embeddings", None),
        ("chat/completions/more", None),
    ],
)
def test_what_is_spoken_at_a_path(path, elsewhere):
    found = language(path, "openai")
    assert (found and found.elsewhere) == elsewhere
