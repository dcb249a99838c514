"""What a file says of how much there is to do, here and upstream."""

import pytest

from proxy.config import load
from proxy.table import LoadRules

SMALL = """
upstreams: {vllm: {dialect: vllm, base_url: "http://127.0.0.1:8000/v1"}}
routes: [{model: chat, targets: [vllm/m]}]
"""


@pytest.fixture
def read(tmp_path):
    def _read(text):
        path = tmp_path / "table.yaml"
        path.write_text(text)
        return load(path, {})

    return _read


@pytest.mark.parametrize(("written", "seconds"), [("250ms", 0.25), ("off", None), ("", 0.5)])
def test_a_loop_may_be_late_so_much_or_as_it_likes(read, written, seconds):
    assert read(f"settings: {{max_lag: {written}}}\n{SMALL}").settings.max_lag_s == seconds


@pytest.mark.parametrize(
    ("written", "rules"),
    [
        ("dialect: vllm", LoadRules(2.0, 16)),
        ("dialect: vllm, load: {every: 500ms, waiting: 4}", LoadRules(0.5, 4)),
        ("dialect: vllm, load: {metrics: off, waiting: 4}", None),
        ("dialect: openai", None),
    ],
)
def test_an_engine_is_asked_how_busy_it_is_unless_the_file_says_not_to(read, written, rules):
    loaded = read(
        f"upstreams: {{one: {{base_url: 'http://127.0.0.1/v1', {written}}}}}\n"
        "routes: [{model: chat, targets: [one/m]}]\n"
    )
    assert loaded.table.upstreams["one"].load == rules
