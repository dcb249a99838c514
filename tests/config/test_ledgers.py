"""Where a ledger may lie, as a table says it; bad ones are `bad/ledger-*.yaml`."""

import pytest

from proxy.config import ConfigError, load
from proxy.place import Database

SMALL = "upstreams: {openai: {api_key: x}}\nroutes: [{model: m, targets: [openai/m]}]\n"


@pytest.fixture
def read(tmp_path):
    def _read(text):
        path = tmp_path / "table.yaml"
        path.write_text(text)
        return load(path, {})

    return _read


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@db:1,two:65535/l?target_session_attrs=primary",
        "postgresql://me@[::1]:5432/l?sslmode=verify-ca",
        "postgresql:///l?host=/run/postgresql&port=5433&sslmode=disable",
    ],
)
def test_a_database_may_be_reached_in_every_way_that_its_driver_knows(read, url):
    assert read(f"settings: {{ledger: '{url}'}}\n{SMALL}").settings.ledger == Database(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@db:0/l",
        "postgresql://me@one:5432,two:65536/l",
        "postgresql:///l?port=x",
        "postgresql://db/l?target_session_attrs=best",
    ],
)
def test_a_database_that_no_driver_would_reach_is_a_fault(read, url):
    with pytest.raises(ConfigError, match="a database's URL w"):
        read(f"settings: {{ledger: '{url}'}}\n{SMALL}")
