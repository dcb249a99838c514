"""The page itself: nothing from elsewhere, nothing but text from others, and legible for everybody."""

import json

import pytest

from tests.dashboard.conftest import HOSTILE

pytestmark = pytest.mark.timeout(300)

PHONE = 360
LONG = "1,234,567 ms / 7,654,321 ms"
CONTRAST = """(() => {
    const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => channels(colour).slice(0, 3)
        .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (node) => {
        for (let each = node; each; each = each.parentElement) {
            const found = getComputedStyle(each).backgroundColor;
            if ((channels(found)[3] ?? 1) > 0) return found;
        }
        return "rgb(255, 255, 255)";
    };
    const poor = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let seen = 0;
    while (texts.nextNode()) {
        const node = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !node.checkVisibility()) continue;
        const [one, other] = [light(getComputedStyle(node).color), light(ground(node))];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        seen += 1;
        if (ratio < 4.5) poor.push(`${node.className || node.tagName}: ${ratio.toFixed(2)}`);
    }
    return [seen, poor];
})()"""
REACHED = """(() => {
    const node = document.activeElement;
    const style = getComputedStyle(node);
    const box = node.getBoundingClientRect();
    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && box.width > 0;
    return node === document.body ? null : [node.innerText.trim(), seen];
})()"""


async def test_it_asks_for_three_files_and_its_events_and_complains_of_nothing(full, busy):
    base = f"http://127.0.0.1:{busy.ports['admin']}/"
    ours = [address for address in full.asked if not address.startswith("data:")]
    assert sorted(ours) == [base, f"{base}admin/events", f"{base}dashboard.css", f"{base}dashboard.js"]
    assert full.complaints == []


async def test_what_others_chose_as_names_is_text_and_nothing_else(full):
    rows = await full.run("document.querySelector('[data-rows=calls]').innerText")
    assert HOSTILE in rows, "the model that a caller asked for"
    assert "<img src=x" in await full.run("document.querySelector('#faults').innerText"), "a key in the table"
    assert await full.run("document.images.length") == 0
    assert await full.run("typeof window.hacked") == "undefined"


async def test_no_script_but_its_own_would_run(full):
    """The policy is in force, and not only sent: what a hole in the page would need does not work."""
    script = "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')"
    with pytest.raises(AssertionError, match="TrustedHTML"):
        await full.run(script)
    await full.run(
        "document.head.append(document.createElement('style'));"
        "document.head.lastChild.textContent = 'body { color: red }'"
    )
    assert await full.run("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    assert any("Content Security Policy" in each for each in full.complaints)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone_nothing_lies_beyond_the_edge(full, scheme):
    await full.lit(scheme)
    await full.sized(PHONE, 640, phone=True)
    await full.run("document.querySelector('details').open = true")
    assert await full.run("document.scrollingElement.scrollWidth") == PHONE
    beyond = """[...document.querySelectorAll('main *, nav *, header *')]
        .filter(each => each.checkVisibility() && !each.closest('thead'))
        .filter(each => each.getBoundingClientRect().right > innerWidth + 1)
        .map(each => each.outerHTML.slice(0, 80))"""
    assert await full.run(beyond) == []
    await full.run(
        f"[...document.querySelectorAll('td.number')].forEach(cell => cell.textContent = {LONG!r})"
    )
    spilt = "[...document.querySelectorAll('tr, figure, .limit')].filter(e => e.scrollWidth > e.clientWidth)"
    assert await full.run(f"{spilt}.filter(e => !e.closest('thead')).length") == 0
    heads = "[...document.querySelectorAll('thead')].every(head => head.getBoundingClientRect().width <= 1)"
    assert await full.run(heads), "a card says by itself what its values are"
    sizes = "[...document.querySelectorAll('body *')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    assert await full.run(f"Math.min(...{sizes})") >= 13


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, 1280])
async def test_every_text_stands_out_from_its_ground(full, scheme, width):
    await full.lit(scheme)
    await full.sized(width, 800)
    await full.run("document.querySelector('details').open = true")
    seen, poor = await full.run(CONTRAST)
    assert poor == []
    assert seen > 100
    ground = await full.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") is (scheme == "light")


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(full):
    await full.run("document.body.focus()")
    reached = []
    for _ in range(12):
        await full.press("Tab")
        found = await full.run(REACHED)
        if found is None:
            break
        reached.append(tuple(found))
    sections = ("Upstreams", "Traffic", "Limits", "Last calls", "Alerts", "Table")
    assert reached[:8] == [
        ("Skip to the upstreams", True),
        *((name, True) for name in sections),
        ("The same as a table", True),
    ]
    can_be = "document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]').length"
    assert await full.run(can_be) == 8


async def test_the_keyboard_opens_the_table_and_skips_what_comes_first(full):
    await full.run("document.querySelector('summary').focus()")
    await full.press("Enter")
    assert await full.until("document.querySelector('details').open")
    assert await full.run("document.querySelectorAll('[data-rows=minutes] tbody tr').length") == 60
    await full.run("document.querySelector('.skip').focus()")
    await full.press("Enter")
    assert await full.until("document.activeElement.id === 'main'")


async def test_what_is_focused_stays_so_while_the_page_lives_on(full):
    await full.run("document.querySelector('summary').focus()")
    now = await full.run("document.querySelector('#standing').innerText")
    await full.until(f"document.querySelector('#standing').innerText !== {json.dumps(now)}")
    assert await full.run("document.activeElement.tagName") == "SUMMARY"


@pytest.mark.parametrize("width", [PHONE, 1280])
async def test_a_screen_reader_is_told_all_of_it(full, width):
    await full.sized(width, 800)
    tree = await full.tree()
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree}
    landmarks = {("banner", ""), ("main", ""), ("navigation", "Sections")}
    sections = ("Upstreams", "Traffic", "Limits", "Last calls", "Alerts", "The table")
    assert named >= landmarks | {("region", name) for name in sections}
    assert named >= {("heading", name) for name in ("Fallthrough", *sections, "tenant acme")}
    assert named >= {("table", "Upstreams"), ("table", "Last calls"), ("table", "Alerts")}
    heads = {name for role, name in named if role == "columnheader"}
    assert heads >= {"Name", "State", "Breaker", "Errors", "Tenant", "Model", "Result", "Attempts", "Mark"}
    rows = {name for role, name in named if role == "rowheader"}
    assert any("first" in name for name in rows)
    unnamed = [
        node["role"]["value"]
        for node in tree
        if node["role"]["value"] in {"image", "meter", "link", "table", "region", "navigation", "rowheader"}
        and not node.get("name", {}).get("value")
    ]
    assert unnamed == []
    assert sum(node["role"]["value"] == "image" for node in tree) == 4
    meters = [node for node in tree if node["role"]["value"] == "meter"]
    assert any("75%, past the 75 % mark" in json.dumps(node) for node in meters)
    live = [node for node in tree if any(
        each["name"] == "live" and each["value"]["value"] == "polite" for each in node.get("properties", ())
    )]  # fmt: skip
    assert live


async def test_numbers_that_change_each_second_are_not_announced(full):
    live = "document.querySelectorAll('[aria-live], [role=status], [role=alert]')"
    assert await full.run(f"{live}.length") == 1
    before = await full.run("document.querySelector('#standing').innerText")
    await full.until(f"document.querySelector('#standing').innerText !== {json.dumps(before)}")
    assert await full.run("document.querySelector('#news').innerText") == ""
