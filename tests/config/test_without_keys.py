"""A table for who calls nobody: every upstream is on, and no secret is asked for."""

import pytest

from proxy.config import ConfigError, load, load_without_keys

TABLE = """
upstreams:
  openai: {api_key: "${OPENAI_API_KEY}", headers: {x-team: "${TEAM}"}}
  other: {base_url: "${OTHER_URL}", api_key: "${file:/run/secrets/never-there}"}
  vllm: {dialect: vllm, base_url: "http://127.0.0.1:8000/v1"}
routes: [{model: chat, targets: [openai/gpt-4o, other/m, vllm/mixtral]}]
alerts: {webhook: "${file:/run/secrets/webhook}"}
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "table.yaml"
    file.write_text(TABLE)
    return file


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": "", "OTHER_URL": ""}])
def test_every_upstream_is_on_whatever_is_not_set(path, environ):
    loaded = load_without_keys(path, environ)
    assert [target.upstream for target in loaded.table.routes[0].targets] == ["openai", "other", "vllm"]
    assert loaded.table.off == {}
    assert loaded.table.webhook is None
    assert loaded.notices == ()


def test_no_file_of_a_secret_is_opened(path, monkeypatch):
    opened = []
    real = open
    for where in ("builtins.open", "io.open"):
        monkeypatch.setattr(where, lambda path, *a, **k: opened.append(path) or real(path, *a, **k))
    load_without_keys(path, {})
    assert opened == [path]


def test_to_serve_it_the_same_file_needs_them(path):
    with pytest.raises(ConfigError, match="is not there"):
        load(path, {})


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (("openai/gpt-4o", "opnai/gpt-4o"), "did you mean `openai`"),
        (('webhook: "${file:/run/secrets/webhook}"', "webhok: x"), "did you mean `webhook`"),
        (("model: chat", 'model: "${MODEL}"'), "the variable MODEL is not set"),
    ],
)
def test_any_other_fault_is_told_as_ever(path, edit, fault):
    path.write_text(TABLE.replace(*edit))
    with pytest.raises(ConfigError, match=fault):
        load_without_keys(path, {})
