"""Whole rehearsals: the table's own rules, in force as they stand."""

import socket

import pytest

from proxy.config import load_without_keys
from proxy.rehearsal import play
from proxy.rehearsal.grammar import ScriptFile
from proxy.rehearsal.script import Script
from proxy.table import Secret

TABLE = """
upstreams:
  openai:
    api_key: ${{OPENAI_API_KEY}}
    headers: {{x-team: secret-header}}
    timeouts: {{first_token: 5s, idle: 3s, whole: 10s}}
  vllm: {{dialect: vllm, base_url: "${{VLLM_URL}}"}}
routes:
  - model: chat
    targets: [openai/gpt-4o, vllm/mixtral]
{more}
prices:
  openai/*: {{input: 1, output: 10}}
  vllm/*: {{input: 0, output: 0}}
"""


@pytest.fixture
def rehearsed(tmp_path):
    def rehearse(*acts, more="", route="", environ=None, watch=lambda *_: None, **load):
        path = tmp_path / "table.yaml"
        written = TABLE.format(more=more)
        path.write_text(written.replace("\n\nprices", "\nprices").replace("mixtral]", f"mixtral]\n{route}"))
        table = load_without_keys(path, environ or {}).table
        plain = {"calls": "2/s", "for": "60s", "answer": 10} | load
        file = ScriptFile.model_validate({"load": plain, "acts": list(acts)})
        script = Script(file.load, file.healthy, tuple(file.acts), file.expect, {"chat": 1})
        return play.rehearse(table, script, watch)

    return rehearse


def lines(came, kind):
    return [line.text for line in came.timeline if line.kind == kind]


def test_a_day_without_trouble_is_answered_by_the_first(rehearsed):
    came = rehearsed()
    assert came.figures.whole == came.figures.calls > 80
    assert came.figures.answered == {"openai": came.figures.calls}
    assert lines(came, "answers") == ["chat is answered by openai"]
    assert came.met


def test_an_outage_is_told_from_its_beginning_to_the_return_of_the_first(rehearsed):
    came = rehearsed({"at": "20s", "for": "30s", "upstream": "openai", "does": "overloaded"}, **{"for": "4m"})
    assert came.figures.whole == came.figures.calls
    assert lines(came, "act") == ["begins: openai overloaded", "ends: openai overloaded"]
    assert lines(came, "breaker") == ["openai: open", "openai: half open", "openai: closed"]
    assert lines(came, "answers") == [
        "chat is answered by openai",
        "chat is answered by vllm, no more by openai",
        "chat is answered by openai, no more by vllm",
    ]
    assert [line.at for line in came.timeline] == sorted(line.at for line in came.timeline)
    assert came.breakers == {"openai": {"open": 1, "half_open": 1, "closed": 1}}
    assert came.figures.added_s["max"] >= 0.05


def test_an_account_without_money_is_given_up_at_once_and_named(rehearsed):
    came = rehearsed({"at": "10s", "upstream": "openai", "does": "no_credit"})
    assert lines(came, "trouble") == ["openai is given up for now: money"]
    assert came.figures.whole == came.figures.calls


@pytest.mark.parametrize(("word", "broken"), [("error", True), ("continue", False), ("restart", False)])
def test_what_becomes_of_a_broken_stream_is_the_routes_word(rehearsed, word, broken):
    came = rehearsed(
        {"upstream": "openai", "does": {"cut": 6}, "when": {"share": 0.3}},
        route=f"    on_midstream: {word}",
        streams="100%",
    )
    total = came.figures
    assert (total.broken > 0) is broken
    assert total.whole + total.broken == total.calls
    assert total.failed == {}
    assert bool(lines(came, "callers")) is broken


def test_where_nobody_is_left_callers_get_an_error_and_the_seconds_are_an_outage(rehearsed):
    came = rehearsed({"at": "20s", "for": "10s", "does": "refuse_connection"})
    assert came.figures.failures > 5
    assert 5 <= came.figures.outage_s <= 15
    assert came.figures.impaired_s >= came.figures.outage_s


def test_limits_hold_and_refuse_as_they_would(rehearsed):
    came = rehearsed(more="limits:\n  - {per: tenant, requests: 10, every: minute}\n")
    assert came.figures.whole == 10
    assert came.figures.failed == {"rate_limit_exceeded": came.figures.calls - 10}
    assert came.refusals == {"tenant=…/requests/minute": came.figures.calls - 10}
    assert lines(came, "limit") == [
        "tenant=rehearsal/requests/minute can take no more: its callers are refused"
    ]


def test_a_window_ends_when_its_time_has_passed(rehearsed):
    limits = "limits:\n  - {per: tenant, requests: 10, every: minute}\n"
    assert rehearsed(more=limits, **{"for": "3m"}).figures.whole == 30


def test_a_limit_of_an_upstream_sends_calls_to_the_next(rehearsed):
    came = rehearsed(more="limits:\n  - {upstream: openai, requests: 10, every: day}\n")
    assert came.figures.answered == {"vllm": came.figures.calls - 10, "openai": 10}
    assert "openai is skipped" in lines(came, "limit")[0]


def test_consent_is_asked_for_where_the_table_does(rehearsed):
    more = "privacy: {consent: required}\n"
    assert rehearsed(more=more).figures.whole == 0
    came = rehearsed(more=more, consent=True)
    assert came.figures.whole == came.figures.calls


def test_answers_cost_what_the_table_says(rehearsed):
    total = rehearsed().figures
    assert total.output_tokens == 10 * total.calls
    assert total.nano_usd == 1_000 * total.input_tokens + 10_000 * total.output_tokens


def test_who_loses_patience_leaves(rehearsed):
    came = rehearsed({"does": "silent"}, patience="4s", streams="50%")
    assert came.figures.left == came.figures.calls
    assert came.figures.first_s == {}


def test_slow_readers_get_all_of_it(rehearsed):
    came = rehearsed(reads="100/s", answer=600, streams="100%", calls="6/m")
    assert came.figures.whole == came.figures.calls
    assert came.figures.output_tokens == 600 * came.figures.calls


def test_the_same_seed_is_the_same_rehearsal(rehearsed):
    act = {"at": "10s", "for": "20s", "upstream": "openai", "does": "overloaded", "when": {"share": 0.5}}
    assert rehearsed(act) == rehearsed(act)
    assert rehearsed(act) != rehearsed(act, seed=2)


def test_nothing_leaves_the_machine(rehearsed, monkeypatch):
    def caught(*_):
        raise AssertionError("somebody was called")

    for way in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, way, caught)
    monkeypatch.setattr(socket, "getaddrinfo", caught)
    assert rehearsed({"does": "reset", "when": {"share": 0.5}}).figures.whole > 0


def test_no_key_is_needed_and_none_is_used(rehearsed, monkeypatch, tmp_path):
    seen = []
    fresh = play.fresh_snapshot
    monkeypatch.setattr(play, "fresh_snapshot", lambda table: seen.append(table) or fresh(table))
    rehearsed(environ={"OPENAI_API_KEY": "sk-real"}, **{"for": "5s"})
    (table,) = seen
    assert {one.name: (one.api_key, one.headers) for one in table.upstreams.values()} == {
        "openai": (None, ()),
        "vllm": (None, ()),
    }
    told = load_without_keys(tmp_path / "table.yaml", {"OPENAI_API_KEY": "sk-real"}).table
    assert told.upstreams["openai"].api_key == Secret("sk-real")


def test_progress_is_told_once_a_second(rehearsed):
    told = []
    rehearsed(watch=lambda now, record: told.append((now, len(record.visits))), **{"for": "30s"})
    assert len(told) >= 30
    assert told == sorted(told)
    assert told[-1][1] > told[0][1] == 0
