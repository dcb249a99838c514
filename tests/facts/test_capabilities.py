"""The records hold together, and keep callers out of the engine."""

import pytest

from proxy.facts.capabilities import HOSTS, KNOWN, NEVER, PLAIN, VLLM, name_for
from proxy.facts.environment import ENVIRONMENT


@pytest.mark.parametrize("name", KNOWN)
def test_no_member_has_two_fates(name):
    record = KNOWN[name]
    accept = record.accept or frozenset()
    assert not record.strip & record.refuse
    assert not accept & record.strip
    assert not accept & record.refuse


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_renamed_arrives(name):
    record = KNOWN[name]
    for pair in record.rename:
        assert not set(pair) & (record.strip | record.refuse)
        assert record.accept is None or set(pair) <= record.accept


@pytest.mark.parametrize("name", KNOWN)
def test_the_core_of_a_chat_passes_everywhere(name):
    record = KNOWN[name]
    for member in (
        "messages",
        "model",
        "stream",
        "temperature",
        "tools",
        "tool_choice",
        "max_tokens",
        "stop",
    ):
        assert record.accept is None or member in record.accept
        assert member not in record.strip | record.refuse


def test_nothing_that_reaches_into_the_engine_passes_to_a_vllm():
    assert {"chat_template", "chat_template_kwargs", "prompt_embeds", "mm_processor_kwargs"} <= NEVER
    for record in (VLLM, PLAIN):
        assert record.strip >= NEVER
    assert not VLLM.accept & NEVER
    assert {"top_k", "min_p", "structured_outputs", "continue_final_message"} <= VLLM.accept


@pytest.mark.parametrize(
    ("dialect", "host", "port", "name"),
    [
        ("openai", "api.openai.com", None, "openai"),
        ("openai", "API.Mistral.ai", None, "mistral"),
        ("openai", "api.deepseek.com", 443, "deepseek"),
        ("openai", "127.0.0.1", 11434, "ollama"),
        ("openai", "example.com", 8000, "plain"),
        ("vllm", "api.openai.com", None, "vllm"),
    ],
)
def test_a_server_is_known_by_dialect_host_or_port(dialect, host, port, name):
    assert name_for(dialect, host, port) == name


def test_every_host_leads_to_a_record():
    assert set(HOSTS.values()) <= set(KNOWN)


def test_every_known_upstream_lists_its_default_model():
    for known in ENVIRONMENT:
        assert known.default_model in known.models
