"""What happens is seen on the page, a moment after it has happened."""

import signal

import pytest

from tests.dashboard.conftest import BROKEN, TABLE, ask, watching
from tests.kit.processes import house

pytestmark = pytest.mark.timeout(300)
"""The first of them may have to wait until a browser is installed."""


def said(where: str, words: str) -> str:
    """Whether something on the page says these words."""
    return f"document.querySelector({where!r})?.innerText.includes({words!r})"


def row(rows: str, words: str) -> str:
    """The text of the row of a table that has these words in it."""
    all_rows = f"[...document.querySelectorAll('[data-rows={rows}] tbody tr')]"
    return f"{all_rows}.map(row => row.innerText).find(text => text.includes({words!r}))"


async def test_a_call_appears_with_its_attempt_and_is_plotted(served, page):
    assert await page.run("document.querySelector('[data-rows=calls]').hidden")
    assert ask(served) == 200
    shown = await page.until(row("calls", "chat"))
    assert "acme" in shown
    assert "ok, 200" in shown
    assert "first/gpt-4o-mini: ok 200, " in shown
    label = await page.run("document.querySelector('#plots svg').getAttribute('aria-label')")
    assert label == (
        "Calls by the minute, for an hour: 1 in this minute, 0 in the last one, at most 1."
    ) or label.endswith("0 in this minute, 1 in the last one, at most 1.")
    assert await page.run("document.querySelectorAll('#plots svg').length") == 4
    assert page.complaints == []


async def test_a_breaker_that_opens_is_seen_and_announced_and_the_calls_fall_through(served, page):
    assert await page.run(row("upstreams", "first")) is not None
    served.script(BROKEN)
    assert [ask(served), ask(served)] == [200, 200]
    await page.until(row("upstreams", "open, until "))
    shown = await page.until(row("upstreams", "down"))
    assert "first" in shown
    assert "100% of 2" in shown
    assert await page.until(said("#news", "first is down."))
    assert "vllm/mixtral: ok 200" in await page.until(row("calls", "first/gpt-4o-mini: overload 503"))
    fallen = "document.querySelectorAll('#plots svg')[1].getAttribute('aria-label').includes('at most 100%')"
    assert await page.until(fallen)
    assert page.complaints == []


async def test_an_upstream_without_its_key_is_off_and_says_why(page):
    shown = await page.until(row("upstreams", "missing"))
    assert "off" in shown
    assert "A_KEY_THAT_IS_NOT_SET" in shown


async def test_a_limit_is_a_meter_that_fills_past_its_marks(served, page):
    meter = (
        "[...document.querySelectorAll('.limit')].find(each => each.innerText.includes('requests an hour'))"
    )
    assert ask(served) == 200
    assert await page.until(f"{meter}?.innerText.includes('1 of 4, 25%')")
    assert {ask(served), ask(served)} == {200}
    assert await page.until(f"{meter}.innerText.includes('3 of 4, 75%, past the 75 % mark')")
    assert ask(served) == 200
    assert await page.until(f"{meter}.innerText.includes('4 of 4, 100%, past the 100 % mark')")
    assert await page.until(row("alerts", "100 %"))
    assert ask(served) == 429
    assert await page.until(row("calls", "429"))
    assert page.complaints == []


async def test_a_table_with_faults_is_told_and_forgotten_once_it_is_mended(served, page):
    good = served.config.read_text()
    served.config.write_text(good.replace("retry:", "rety:"))
    assert await page.until(said("#faults", "did you mean `retry`?"))
    assert await page.until(said("#news", "The edited table has 1 fault."))
    served.config.write_text(good)
    assert await page.until("!document.querySelector('#faults').children.length")


async def test_a_proxy_that_is_gone_is_said_so_and_one_that_is_back_is_shown_again(served, page):
    assert served.kill("proxy", signal.SIGTERM) == 0, "a page that is open does not hold up the end"
    assert await page.until(said("#standing", "The connection is lost"))
    served.serve()
    assert await page.until(said("#standing", "Ready."))


async def test_a_page_that_nobody_looks_at_does_not_watch(page):
    def seen(hidden: bool) -> str:
        told = (
            f"Object.defineProperty(document, 'hidden', {{value: {str(hidden).lower()}, configurable: true}})"
        )
        return f"{told}; document.dispatchEvent(new Event('visibilitychange'))"

    (events,) = [address for address in page.asked if address.endswith("/admin/events")]
    assert events not in page.ended
    await page.run(seen(hidden=True))
    while events not in page.ended:
        await page.run("1")
    await page.run(seen(hidden=False))
    now = await page.run("document.querySelector('#standing').innerText")
    await page.until(f"document.querySelector('#standing').innerText !== {now!r}")
    assert page.asked.count(events) == 2


async def test_workers_are_shown_where_there_are_several(tmp_path, chromium, database):
    table = TABLE.replace("sqlite:///{folder}/ledger.db", database.url)
    with house(tmp_path, table=table, options=("--workers", "2")) as built:
        async with watching(chromium, built) as page:
            assert await page.until("document.querySelectorAll('[data-rows=workers] tbody tr').length === 2")
            assert await page.until(said("#workers", "2 of 2 answer."))
            assert await page.run("!document.querySelector('#workers').hidden")
            assert {ask(built) for _ in range(4)} == {200}
            both = "[...document.querySelectorAll('[data-rows=workers] tbody tr')]"
            told = f"{both}.reduce((sum, row) => sum + Number(row.children[3].innerText), 0)"
            assert await page.until(f"{told} === 4")
            assert page.complaints == []


async def test_one_process_has_no_section_of_workers(page):
    assert await page.run("document.querySelector('#workers').hidden")
