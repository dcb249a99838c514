"""`fallthrough check FILE --against LEDGER`: whose calls a changed file would move."""

import json

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from proxy.call import Passed
from proxy.cli.check import check
from tests.store.making import attempt, charge, claim, hold, settlement
from tests.store.stores import SqliteStore

FILE = """
settings: {{ledger: "sqlite:///{ledger}"}}
upstreams:
  one: {{dialect: openai, base_url: "http://127.0.0.1:1/v1", api_key: sk-secret}}
  two: {{dialect: openai, base_url: "http://127.0.0.1:2/v1", api_key: sk-secret}}
routes:
  - {{model: "{model}", targets: [{targets}]}}
"""

WAYS = {
    "direct": (attempt("one", "ok", 200),),
    "fell": (attempt("one", "overload", 503), attempt("two", "ok", 200)),
    "passed": (replace(attempt("two", "ok", 200), passed=(Passed("one", "model", "open", 9.0),)),),
    "unasked": (),
}
"""How calls of `gpt-4o` were made, by the attempts that are on record."""


@pytest.fixture
def place(tmp_path):
    return tmp_path


async def recorded(folder, *ways):
    """A ledger with a call for each of the ways."""
    store = SqliteStore(folder)
    async with store.open() as ledger:
        for number, way in enumerate(ways):
            name = f"{way}_{number}"
            await ledger.reserve(hold(name, claim(10)))
            result = "ok" if WAYS[way] else "upstream_unavailable"
            await ledger.commit(settlement(name, charge(8), attempts=WAYS[way], result=result))
    return store.path


def run(folder, ledger, *words, targets="one/model, two/model", model="gpt-4o"):
    path = folder / "changed.yaml"
    path.write_text(FILE.format(targets=targets, ledger=ledger, model=model))
    return CliRunner().invoke(check, [str(path), "--against", str(ledger), *words], env={})


def told(done):
    return json.loads(done.stdout)


async def test_the_same_order_moves_nobody(place):
    ledger = await recorded(place, *WAYS)
    done = run(place, ledger, "--json")
    assert done.exit_code == 0
    assert told(done)["changes"] == []
    assert (told(done)["calls"], told(done)["unchanged"], told(done)["nobody_asked"]) == (4, 3, 1)


async def test_who_was_passed_over_then_is_passed_over_again_and_no_change(place):
    ledger = await recorded(place, "passed")
    done = run(place, ledger, "--json")
    assert (done.exit_code, told(done)["unchanged"]) == (0, 1)
    alone = run(place, ledger, "--json", targets="one/model")
    assert (alone.exit_code, told(alone)["cannot_be_told"]) == (0, 1)


async def test_another_order_moves_whoever_asked_the_first(place):
    ledger = await recorded(place, "direct", "direct", "fell", "passed")
    done = run(place, ledger, "--json", targets="two/model, one/model")
    assert done.exit_code == 3
    (change,) = told(done)["changes"]
    assert change["what"] == "first target"
    assert (change["was"], change["would_be"]) == ("one/model", "two/model")
    assert (change["tenant"], change["model"], change["calls"]) == ("acme", "gpt-4o", 3)
    assert change["latest"] == "fell_2"
    assert told(done)["unchanged"] == 1, "the one that asked the second target, the first being open"


async def test_a_target_that_helped_and_is_gone_is_told(place):
    ledger = await recorded(place, "fell")
    done = run(place, ledger, "--json", targets="one/model")
    assert done.exit_code == 3
    (change,) = told(done)["changes"]
    assert (change["what"], change["was"], change["would_be"]) == ("target gone", "two/model", None)


async def test_a_model_without_a_route_is_told(place):
    ledger = await recorded(place, "direct", "unasked")
    done = run(place, ledger, "--json", model="gpt-5")
    assert done.exit_code == 3
    assert {(change["what"], change["was"]) for change in told(done)["changes"]} == {
        ("no route", "one/model"),
        ("no route", None),
    }


async def test_only_the_last_calls_are_looked_at(place):
    ledger = await recorded(place, "direct", "passed", "passed")
    done = run(place, ledger, "--calls", "2", "--json", targets="two/model")
    assert (done.exit_code, told(done)["calls"], told(done)["unchanged"]) == (0, 2, 2)


async def test_the_ledger_may_be_the_files_own_and_people_get_a_table(place):
    ledger = await recorded(place, "direct", "unasked")
    path = place / "changed.yaml"
    path.write_text(FILE.format(targets="two/model", ledger=ledger, model="gpt-4o"))
    done = CliRunner().invoke(check, [str(path), "--against", "ledger"], env={})
    assert done.exit_code == 3
    assert "2 recorded calls; 0 would go where they went, 1 would not; of 1 nobody was asked" in done.stdout
    assert "one/model" in done.stdout
    assert "a row knows neither its call's body" in done.stdout
    assert "\x1b" not in done.stdout
    as_url = CliRunner().invoke(check, [str(path), "--against", f"sqlite:///{ledger}"], env={})
    assert as_url.exit_code == 3


def test_no_ledger_is_a_sentence_and_faults_come_first(place):
    done = run(place, place / "none.db")
    assert done.exit_code == 1
    assert "Error" in done.stderr
    assert "Traceback" not in done.stderr
    bad = run(place, place / "none.db", targets="three/model")
    assert bad.exit_code == 2
    assert "nothing is in force" in bad.stderr
