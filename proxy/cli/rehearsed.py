"""What came of a rehearsal, for people and for programs. `rehearse.py` prints it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.cli.screen import cell
from proxy.rehearsal.figures import Figures
from proxy.rehearsal.play import Rehearsal
from proxy.rehearsal.verdict import Check, percent, seconds, usd

COLOURS: Mapping[str, str] = {
    "act": "magenta",
    "breaker": "yellow",
    "trouble": "yellow",
    "limit": "yellow",
    "callers": "red",
}


def show(console: Console, came: Rehearsal, *, timeline: bool) -> None:
    """The timeline, the figures and the verdict."""
    if timeline:
        console.print(_timeline(came))
    console.print(_figures(came))
    if not came.checks:
        console.print("Nothing was expected.")
        return
    console.print(_checks(came.checks))
    failed = sum(not check.met for check in came.checks)
    word = (
        Text("Met", "bold green")
        if came.met
        else Text(f"Not met: {failed} of {len(came.checks)}", "bold red")
    )
    console.print(word)


def as_json(came: Rehearsal) -> dict[str, Any]:
    """The same as data. Times are seconds, money is US dollars as text."""
    total = came.figures
    return {
        "met": came.met,
        "expected": [
            {"what": check.what, "wanted": check.wanted, "got": check.got, "met": check.met}
            for check in came.checks
        ],
        "figures": {
            "calls": total.calls,
            "whole": total.whole,
            "broken": total.broken,
            "left": total.left,
            "failed": dict(total.failed),
            "outage_s": total.outage_s,
            "impaired_s": total.impaired_s,
            "answered": dict(total.answered),
            "usd": usd(total.nano_usd),
            "input_tokens": total.input_tokens,
            "output_tokens": total.output_tokens,
            "first_s": _rounded(total.first_s),
            "added_s": _rounded(total.added_s),
            "breakers": came.breakers,
            "refusals": came.refusals,
            "lasted_s": round(came.lasted_s, 3),
        },
        "timeline": [
            {"at_s": round(line.at, 3), "kind": line.kind, "what": line.text} for line in came.timeline
        ],
    }


def _rounded(values: Any) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}


def _timeline(came: Rehearsal) -> Table:
    table = Table(title="Timeline", box=None, pad_edge=False, title_justify="left")
    table.add_column("at", justify="right")
    table.add_column("")
    table.add_column("what happened", overflow="fold")
    for line in came.timeline:
        table.add_row(_clock(line.at), Text(line.kind, COLOURS.get(line.kind, "")), cell(line.text))
    return table


def _clock(at: float) -> str:
    """Minutes and seconds: `2:05.3`."""
    tenths = round(at * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def _figures(came: Rehearsal) -> Table:
    table = Table(title="What came of it", show_header=False, title_justify="left")
    total = came.figures
    rows = [
        ("calls", f"{total.calls:,}"),
        ("answered whole", _part(total, total.whole)),
        *((f"  by {upstream}", _part(total, number)) for upstream, number in total.answered.items()),
        ("failed", _part(total, total.failures)),
        *((f"  {code}", _part(total, number)) for code, number in total.failed.items()),
        ("broken streams", _part(total, total.broken)),
        ("callers who left", _part(total, total.left)),
        ("outage seen", f"{total.outage_s} s"),
        ("impaired", f"{total.impaired_s} s"),
        ("to the first word", _spread(total.first_s)),
        ("added by the proxy", _spread(total.added_s)),
        ("tokens", f"{total.input_tokens:,} in, {total.output_tokens:,} out"),
        ("cost", f"${usd(total.nano_usd)}"),
        *((f"breaker of {name}", _states(states)) for name, states in came.breakers.items()),
        *((f"refused by {limit}", f"{times:,}") for limit, times in came.refusals.items()),
        ("over after", _clock(came.lasted_s)),
    ]
    for what, figure in rows:
        table.add_row(cell(what), cell(figure))
    return table


def _part(total: Figures, number: int) -> str:
    return f"{number:,} ({percent(total.share(number))})" if number else "0"


def _spread(values: Any) -> str:
    return ", ".join(f"{name} {seconds(value)}" for name, value in values.items()) or "nobody had one"


def _states(states: dict[str, int]) -> str:
    return ", ".join(f"{state.replace('_', ' ')} {times}" for state, times in states.items())


def _checks(checks: tuple[Check, ...]) -> Table:
    table = Table("expected", "", "came", "", title="Verdict", title_justify="left")
    for check in checks:
        met = Text("met", "green") if check.met else Text("not met", "red")
        table.add_row(cell(check.what), cell(check.wanted), cell(check.got), met)
    return table
