"""What `serve` does before there is anything to serve."""

import signal

from click.testing import CliRunner

from proxy.cli import serve
from proxy.config import ConfigError


def test_a_hang_up_before_there_is_a_table_to_read_anew_kills_nobody(monkeypatch):
    seen = []

    def load(_config, _environ):
        seen.append(signal.getsignal(signal.SIGHUP))
        raise ConfigError([])

    monkeypatch.setattr(serve, "load", load)
    monkeypatch.setattr(serve, "configure_logging", lambda: None)  # which would be the other tests' as well
    before = signal.getsignal(signal.SIGHUP)
    try:
        assert CliRunner().invoke(serve.serve, []).exit_code == 2
    finally:
        signal.signal(signal.SIGHUP, before)
    assert seen == [signal.SIG_IGN]
