"""Where the ledger lies can be told though the file has faults elsewhere, and is never guessed."""

from pathlib import Path

import pytest

from proxy.config import ConfigError, load, load_ledger
from proxy.place import Database

WELL = """
settings: {ledger: "sqlite:////data/ledger.db"}
upstreams: {openai: {api_key: sk-x}}
routes: [{model: m, targets: [openai/m]}]
"""
OURS = Path("/data/ledger.db")
MISPLACED = "unknown key; write `ledger` under `settings`"


@pytest.fixture
def place(tmp_path):
    def _place(text, **environ):
        path = tmp_path / "table.yaml"
        path.write_text(text)
        return load_ledger(path, environ)

    return _place


@pytest.mark.parametrize(
    "edit",
    [
        ("routes:", "routs:"),
        ("sk-x", '"${VENDOR_KEY}"'),
        ("sk-x", '"${file:/nowhere}"'),
        ("openai/m", "nobody/m"),
        ("routes: [{model: m, targets: [openai/m]}]", ""),
        ("settings: {", "settings: {drain: soon, "),
        ("settings: {", 'settings: {listen: "${ADDRESS}", '),
        ("settings: {", "settings: {drain: 1s, drain: 2s, "),
        ("settings: {", "settings: {auth: none, listen: 0.0.0.0:80, "),
        ("settings: {", "settings: {unheard: of, "),
        ("routes:", "ledger: elsewhere\nroutes:"),
        ("routes:", "upstreams: {}\nroutes:"),
    ],
    ids=lambda edit: edit[1],
)
def test_a_fault_elsewhere_does_not_hide_it(place, edit):
    assert WELL.replace(*edit) != WELL
    assert place(WELL.replace(*edit)) == OURS


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (("ledger:", "leger:"), "table.yaml:2: settings.leger: unknown key; did you mean `ledger`?"),
        (("settings:", "setings:"), "table.yaml:2: setings: unknown key; did you mean `settings`?"),
        (
            ("settings: {ledger:", "ledger: {ledger:"),
            "table.yaml:2: ledger: unknown key; write `ledger` under `settings`",
        ),
        (
            ("settings: {ledger:", "config: {ledger:"),
            "table.yaml:2: config: unknown key; write `ledger` under",
        ),
        (("settings: {", "settings: {}\nledgr: {"), "table.yaml:3: ledgr: unknown key; write `ledger` under"),
        (("sqlite:", "sqlight:"), "settings.ledger: not a ledger"),
        (("/data", "${DATA}"), "table.yaml:2: settings.ledger: the variable DATA is not set; set it"),
        (('"sqlite:////data/ledger.db"', '"${file:/nowhere}"'), "the file of ${file:…} is not there"),
        (('{ledger: "sqlite:////data/ledger.db"}', '"${ALL}"'), "settings: the variable ALL is not set"),
        (
            ("settings: {", "settings: {ledger: 'sqlite:///x', "),
            "settings.ledger: this key was written before (line 2)",
        ),
        (("upstreams:", "settings: {}\nupstreams:"), "settings: this key was written before (line 2)"),
        (('"}', '"'), "this is not YAML"),
        (("openai/m", "*all"), "anchors and aliases are not read"),
        ((WELL, ""), "not a mapping (was nothing)"),
    ],
    ids=lambda each: each[1] if isinstance(each, tuple) else "",
)
def test_what_makes_it_doubtful_is_told_and_nothing_else(place, edit, fault):
    text = WELL.replace(*edit)
    assert text != WELL
    with pytest.raises(ConfigError) as told:
        place(text.replace("routes:", "routs:"))
    assert fault in str(told.value)
    assert len(told.value.faults) == 1


def test_it_is_what_the_proxy_would_have_read(place, tmp_path):
    for ledger in (
        "${PLACE}",
        "sqlite:///${NAME:-var}/l.db",
        "postgresql://me:${PASSWORD}@db/l",
        "${NONE:-}",
    ):
        text = WELL.replace("sqlite:////data/ledger.db", ledger)
        environ = {"PLACE": "sqlite:///there.db", "PASSWORD": "hunter2"}
        read = place(text, **environ)
        assert read == load(tmp_path / "table.yaml", environ).settings.ledger
    assert place(WELL.replace('ledger: "sqlite:////data/ledger.db"', "simulator: auto")) == Path(
        "var/ledger.db"
    )


def test_a_password_that_makes_it_doubtful_is_not_shown(place):
    with pytest.raises(ConfigError) as told:
        place(WELL.replace("sqlite:////data/ledger.db", "postgresql://me:hunter2@db"))
    assert "hunter2" not in str(told.value)


def test_without_a_file_the_environment_says_it_though_no_upstream_is_on():
    environ = {"FALLTHROUGH_LEDGER": "postgresql://proxy@db/ledger", "FALLTHROUGH_ORDER": "nobody"}
    assert load_ledger(None, environ) == Database("postgresql://proxy@db/ledger")
    assert load_ledger(None, {}) == Path("var/ledger.db")
    with pytest.raises(ConfigError, match="FALLTHROUGH_LEDGER: not a ledger"):
        load_ledger(None, {"FALLTHROUGH_LEDGER": "l.db"})


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match="the file cannot be read"):
        load_ledger(tmp_path, {})
