"""Without any file, the environment is enough."""

import pytest

from proxy.config import ConfigError, load

NAMELESS = (
    "environment: FALLTHROUGH_LEDGER: a database's URL without the name of a database (was hidden);"
    " write postgresql://USER@HOST/DATABASE"
)


def routes(environ):
    return {route.model: [str(t) for t in route.targets] for route in load(None, environ).table.routes}


def test_a_key_switches_its_upstream_on():
    loaded = load(None, {"OPENAI_API_KEY": "sk-x"})
    assert list(loaded.table.upstreams) == ["openai"]
    assert loaded.table.off["vllm"] == "VLLM_URL is not set"
    assert loaded.table.upstreams["openai"].api_key.reveal() == "sk-x"


def test_a_model_goes_to_its_own_upstream_first_and_then_to_the_others_default():
    made = routes({"OPENAI_API_KEY": "a", "DEEPSEEK_API_KEY": "b", "VLLM_URL": "http://h:8000/v1"})
    vllm = "vllm/mistralai/Mistral-7B-Instruct-v0.3"
    assert made["gpt-4o"] == ["openai/gpt-4o", "deepseek/deepseek-chat", vllm]
    assert made["deepseek-reasoner"] == ["deepseek/deepseek-reasoner", "openai/gpt-4o-mini", vllm]
    assert made["*"] == ["openai/gpt-4o-mini", "deepseek/deepseek-chat", vllm]


def test_the_order_can_be_given():
    environ = {
        "OPENAI_API_KEY": "a",
        "DEEPSEEK_API_KEY": "b",
        "MISTRAL_API_KEY": "c",
        "FALLTHROUGH_ORDER": "deepseek, openai,vllm",
    }
    assert routes(environ)["*"] == [
        "deepseek/deepseek-chat",
        "openai/gpt-4o-mini",
        "mistral/mistral-small-latest",
    ]


def test_the_default_model_can_be_given():
    made = routes({"VLLM_URL": "http://h:8000/v1", "VLLM_MODEL": "tiny"})
    assert made["tiny"] == ["vllm/tiny"]
    assert made["*"] == ["vllm/tiny"]


def test_settings_come_from_variables():
    environ = {
        "VLLM_URL": "http://h:8000/v1",
        "VLLM_API_KEY": "sk-v",
        "FALLTHROUGH_LISTEN": "127.0.0.1:0",
        "FALLTHROUGH_ADMIN": "off",
        "FALLTHROUGH_AUTH": "none",
        "FALLTHROUGH_DRAIN": "5s",
        "FALLTHROUGH_LEDGER": "sqlite:////tmp/l.db",
    }
    loaded = load(None, environ)
    assert str(loaded.settings.listen) == "127.0.0.1:0"
    assert (loaded.settings.admin, loaded.settings.auth, loaded.settings.drain_s) == (None, "none", 5.0)
    assert loaded.table.upstreams["vllm"].api_key.reveal() == "sk-v"


def test_each_dialect_is_switched_on_by_its_vendors_variable():
    loaded = load(None, {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "GEMINI_API_KEY": ""})
    assert {name: made.dialect for name, made in loaded.table.upstreams.items()} == {
        "openai": "openai",
        "anthropic": "anthropic",
    }
    assert loaded.table.upstreams["anthropic"].base_url == "https://api.anthropic.com"
    made = routes({"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"})
    assert made["claude-sonnet-4-5"] == ["anthropic/claude-sonnet-4-5", "openai/gpt-4o-mini"]


def test_nothing_set_is_one_fault():
    with pytest.raises(ConfigError) as caught:
        load(None, {"OPENAI_API_KEY": ""})
    assert [str(fault) for fault in caught.value.faults] == [
        (
            "environment: no upstream is on, and there is no file; "
            "set one of OPENAI_API_KEY, ANTHROPIC_API_KEY, DEEPSEEK_API_KEY, MISTRAL_API_KEY, "
            "GEMINI_API_KEY, VLLM_URL, or give --config FILE"
        )
    ]


def test_nothing_set_is_enough_for_the_simulator():
    loaded = load(None, {"FALLTHROUGH_SIMULATOR": "auto"})
    assert set(loaded.table.upstreams) == {"simulated-openai", "simulated-vllm"}
    assert loaded.notices[-1].startswith("SIMULATED: ")


def test_faults_name_the_variable():
    environ = {
        "VLLM_URL": "http://me:sk-secret@h/v1",
        "FALLTHROUGH_ORDER": "vlm",
        "FALLTHROUGH_DRAIN": "3",
        "FALLTHROUGH_AUTH": "jwt",
        "FALLTHROUGH_LEDGER": "postgresql://me:hunter2@db",
    }
    with pytest.raises(ConfigError) as caught:
        load(None, environ)
    assert [str(fault) for fault in caught.value.faults] == [
        "environment: FALLTHROUGH_AUTH: `jwt` is not yet supported; write keys",
        "environment: FALLTHROUGH_DRAIN: a duration without a unit (was 3); write 3s, or ms, m, h, d",
        NAMELESS,
        "environment: FALLTHROUGH_ORDER: no upstream is named `vlm`; did you mean `vllm`?",
        "environment: VLLM_URL: a URL with credentials in it (was http://…); write the key under api_key",
    ]
