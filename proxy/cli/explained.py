"""How an explanation looks to people: what `cli/explain.py` prints, of this process's or another's making."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from proxy.cli.screen import cell
from proxy.table import Unit

MICRO = 1_000_000

Told = Mapping[str, Any]
"""`proxy.explain.Explanation` as JSON has it."""


def draw(told: Told, notes: Iterable[str], console: Console) -> None:
    """The whole of it."""
    console.print(cell(_head(told)), soft_wrap=True)
    if told["refused"] is not None:
        refused = told["refused"]
        console.print(cell(f"refused with {refused['status']} {refused['code']}: {refused['message']}"))
    bounds = told["bounds"]
    if bounds is not None:
        console.print(cell(f"{_tokens(bounds)}; {_money(told)}"), soft_wrap=True)
    if told["targets"]:
        console.print(_targets(told["targets"]))
    if told["counters"]:
        console.print(_counters(told["counters"]))
    if told["upstreams"]:
        console.print(_upstreams(told["upstreams"]))
    for note in notes:
        console.print(cell(f"note: {note}"), style="dim", soft_wrap=True)


def _head(told: Told) -> str:
    whose = f"{told['model']} for {told['tenant']}"
    if told["route"] is None:
        return f"{whose}: no route matches"
    state = "as it stands now" if told["live"] else "by the table alone"
    return f"{whose}: route {told['number']}, {told['route']}, {state}"


def _tokens(bounds: Told) -> str:
    return f"at most {bounds['input_tokens']:,} tokens in and {bounds['output_tokens']:,} out"


def _money(told: Told) -> str:
    """What it may cost; nobody knows where one that may answer has no price."""
    bounds = told["bounds"]
    if bounds["nano_usd"] is None:
        names = [one["target"] for one in told["targets"] if one["turn"] and one["nano_usd"] is None]
        whose = f" for {', '.join(names)}" if names else ""
        return f"what it may cost is not known, for want of a price{whose}"
    beside = "" if bounds["answers"] == 1 else f" (for {bounds['answers']} answers, should one not do)"
    return f"${_usd(bounds['nano_usd'])} is the most that it may cost{beside}"


def _targets(targets: Iterable[Told]) -> Table:
    table = Table("turn", "target", "why", title="Targets", title_justify="left")
    table.add_column("at most USD", justify="right")
    for one in targets:
        turn = "-" if one["turn"] is None else str(one["turn"])
        cost = "-" if one["nano_usd"] is None else _usd(one["nano_usd"])
        table.add_row(turn, cell(one["target"]), cell(_why(one)), cost)
    return table


def _why(one: Told) -> str:
    """In one line: asked, or not, or not at once."""
    until = "" if one["until_us"] is None else f" until {_moment(one['until_us'] / MICRO)}"
    if one["turn"] is None:
        return f"not asked: {one['why']}{until}"
    words = ["asked first" if one["turn"] == 1 else "asked if those before it fail"]
    if one["why"]:
        words.append(f"{one['why']}{until}")
    if one["after_s"]:
        words.append(f"the call waits {one['after_s']:.2f} s for it")
    if one["dropped"]:
        words.append(f"without {', '.join(one['dropped'])}")
    return "; ".join(words)


def _counters(counters: Iterable[Told]) -> Table:
    table = Table("limit", "spent, it", title="Limits", title_justify="left")
    for heading in ("holds", "used", "held", "ceiling"):
        table.add_column(heading, justify="right")
    table.add_column("until (UTC)")
    for one in counters:
        then = f"skips {one['upstream']}" if one["upstream"] else "refuses the caller"
        then = "is told" if one["shadow"] else then
        amounts = (one[name] for name in ("amount", "used", "held", "ceiling"))
        until = _moment(one["until_s"]) if one["until_s"] else "-"
        name = f"{one['scope']}{' (spent)' if one['spent'] else ''}"
        table.add_row(cell(name), cell(then), *(_amount(one["unit"], amount) for amount in amounts), until)
    return table


def _upstreams(upstreams: Iterable[Told]) -> Table:
    table = Table("upstream", "breaker", title="Upstreams now", title_justify="left")
    table.add_column("attempts under way", justify="right")
    for one in upstreams:
        table.add_row(cell(one["upstream"]), cell(one["state"]), str(one["under_way"]))
    return table


def _amount(unit: str, amount: int | None) -> str:
    if amount is None:
        return "?"
    return f"${_usd(amount)}" if unit == Unit.NANO_USD else f"{amount:,}"


def _usd(nano: int) -> str:
    """To the micro-dollar, rounded up: it is a bound."""
    micro = -(-nano // 1000)
    return f"{micro // MICRO:,}.{micro % MICRO:06d}"


def _moment(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")
