"""Every program of `examples/`, run as it is against the quickstart, its first upstream well and dead."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.examples.installed import EXAMPLES, need_curl, need_node, node, python
from tests.kit.chromium import opened, running
from tests.kit.processes import calls

WORDS = "Simulated answer from {vendor}: no model was asked, these words were made up on this machine."
COUNTED = WORDS + "\n10 tokens in, 16 out"

SAYS = {
    "openai_python/whole.py": COUNTED,
    "openai_python/stream.py": COUNTED,
    "openai_python/async_client.py": "\n".join([WORDS] * 3),
    "openai_python/tools.py": "get_weather({{\"city\":\"x\"}}) -> {{'city': 'x', 'celsius': 21}}\n" + WORDS,
    "openai_python/structured.py": "(by_schema)\nCity(name='x', people=1)",
    "openai_python/headers.py": WORDS
    + "\nx-request-id: req_~\nx-fallthrough-upstream: simulated-{vendor}\n~",
    "openai_python/idempotency.py": "~ by a call\n~ from memory",
    "openai_node/whole.mjs": WORDS + "\nanswered by simulated-{vendor}",
    "openai_node/stream.mjs": WORDS,
    "langchain/chat.py": (
        "invoke: " + WORDS + "\nanswered by simulated-{vendor}\nainvoke: " + WORDS + "\nastream: " + WORDS
    ),
    "curl/whole.sh": "HTTP/1.1 200 OK~x-fallthrough-upstream: simulated-{vendor}~" + WORDS + "~",
    "curl/stream.sh": "data: ~chat.completion.chunk~data: [DONE]",
    "curl/upstreams.sh": '{{~"name":"simulated-openai"~"name":"simulated-vllm"~}}',
    "curl/usage.sh": '{{"object":"usage"~"spend"~}}',
    "websocket/client.py": "\n".join(["[simulated-{vendor}] " + WORDS] * 2),
    "websocket/node.mjs": COUNTED,
}
"""What each prints; `~` stands for anything."""
LIBRARIES = {"websocket/browser.mjs"}
"""What others import."""


def programs() -> set[str]:
    found = (path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.*"))
    return {name for name in found if name.endswith((".py", ".mjs", ".sh")) and "node_modules" not in name}


def command(name: str) -> list[str]:
    """How its header says that it is run."""
    path = EXAMPLES / name
    if name.startswith("openai_node/"):
        return ["node", str(node() / path.name)]
    if name.endswith(".mjs"):
        need_node()
        return ["node", "--experimental-websocket", str(path)]
    if name.startswith("langchain/"):
        return [str(python()), str(path)]
    if name.startswith("curl/"):
        need_curl()
    return ["sh" if name.endswith(".sh") else sys.executable, str(path)]


def run(built, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        words,
        env=built.environment(),
        cwd=built.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def fits(pattern: str, said: str) -> bool:
    expected = ".*".join(re.escape(part) for part in pattern.split("~"))
    return re.fullmatch(expected, said.replace("\r\n", "\n").strip(), re.DOTALL) is not None


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SAYS)
def test_an_example_says_what_it_should(well, name):
    done = run(well, *command(name))
    assert (done.returncode, done.stderr) == (0, "")
    assert fits(SAYS[name].format(vendor="openai"), done.stdout), done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SAYS)
def test_an_example_succeeds_with_the_first_upstream_dead(first_dead, name):
    done = run(first_dead, *command(name))
    assert (done.returncode, done.stderr) == (0, "")
    assert fits(SAYS[name].format(vendor="vllm"), done.stdout), done.stdout


def test_the_dead_one_was_tried_and_another_answered(first_dead):
    done = run(first_dead, *command("openai_python/whole.py"))
    assert done.returncode == 0
    rows = calls(first_dead, 500)
    assert {row["upstream"] for row in rows if row["result"] == "ok"} == {"simulated-vllm"}
    tried = {each["upstream"] for row in rows for each in row["attempts"]}
    assert tried == {"simulated-openai", "simulated-vllm"}


@pytest.mark.parametrize("name", sorted(programs()))
def test_an_example_tells_how_it_is_run_and_takes_address_and_key_from_the_environment(name):
    text = (EXAMPLES / name).read_text()
    if name in LIBRARIES:
        assert "FALLTHROUGH" not in text
        return
    at = f"node {Path(name).name}" if name.startswith("openai_node/") else f"examples/{name}"
    assert at in text.split("\nimport ")[0]
    for known, default in (("FALLTHROUGH_URL", "http://127.0.0.1:8080/v1"), ("FALLTHROUGH_KEY", "any")):
        taken = rf'{known}(", "| \?\? "|:-){re.escape(default)}\b'
        assert re.search(taken, text), known


def test_every_example_is_run_and_listed():
    assert set(SAYS) | LIBRARIES == programs()
    listed = set(re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text()))
    assert listed == programs() | {"one_base_url.md"}


CUT = "openai: [{do: {cut: 4}}]"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["openai_python/stream.py", "openai_node/stream.mjs", "websocket/client.py"])
def test_a_stream_that_breaks_is_not_taken_for_a_whole_one(shaky, name):
    shaky.script(CUT)
    done = run(shaky, *command(name))
    assert done.returncode == 1
    assert "Simulated answer" in done.stdout
    assert "machine." not in done.stdout
    assert "broke" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_no_schema_is_kept_to_a_tool_gives_the_object(shaky):
    shaky.script("openai: [{do: {prose: true}}]")
    done = run(shaky, *command("openai_python/structured.py"))
    assert done.stdout == "(by_schema failed: ValidationError)\n(by_tool)\nCity(name='x', people=1)\n"


def test_the_headers_tell_that_somebody_failed(shaky):
    shaky.script("openai: [{do: {error: server}}]")
    done = run(shaky, *command("openai_python/headers.py"))
    assert re.search(r"x-fallthrough-attempts: [23]\nSomebody failed before this answer came", done.stdout)


def test_a_call_that_is_sent_twice_is_made_once(well):
    before = len(calls(well, 500))
    first, second = run(well, *command("openai_python/idempotency.py")).stdout.splitlines()
    assert first.split()[0] == second.split()[0]
    assert len(calls(well, 500)) == before + 1


@pytest.mark.timeout(120)
async def test_a_page_in_a_browser_gets_the_words(first_dead, page_port):
    application = web.Application()
    application.add_routes([web.static("/", EXAMPLES / "websocket")])
    runner = web.AppRunner(application)
    await runner.setup()
    origin = f"http://127.0.0.1:{page_port}"
    script = f"""import("{origin}/browser.mjs").then(async ({{ask}}) => {{
        let words = "";
        const told = (more) => {{ words += more; }};
        const usage = await ask("{first_dead.base_url}", "{first_dead.key}", "Say hello.", told);
        return [words, usage.completion_tokens];
    }})"""
    try:
        await web.TCPSite(runner, "127.0.0.1", page_port).start()
        with running() as browser:
            async with opened(browser, f"{origin}/browser.mjs") as page:
                await page.until("document.body !== null")
                assert await page.run(script) == [WORDS.format(vendor="vllm"), 16]
    finally:
        await runner.cleanup()


def blocks() -> list[str]:
    """The programs of the page: before and after."""
    return re.findall(r"```python\n(.*?)```", (EXAMPLES / "one_base_url.md").read_text(), re.DOTALL)


def test_what_comes_after_the_module_of_providers_answers(first_dead):
    _, after = blocks()
    done = run(first_dead, sys.executable, "-c", after + "\nprint(demander('Dis bonjour.'))")
    assert done.stdout.strip() == WORDS.format(vendor="vllm")


def test_the_table_that_the_page_speaks_of_is_made_of_the_modules_variables(first_dead, tmp_path):
    before, _ = blocks()
    ast.parse(before)
    read = dict.fromkeys(re.findall(r'environ\["(\w+)"\]', before), "sk-canary")
    read |= dict(re.findall(r'environ\.get\("(\w+)", "([^"]+)"\)', before))
    assert len(read) == 5
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in read.items()))
    table = first_dead.run("import", "env", "--env-file", str(tmp_path / ".env"))
    assert re.findall(r"- (openai|anthropic|deepseek)/", table) == ["openai", "anthropic", "deepseek"]
    assert "{per: tenant, tokens: 50_000, every: day}" in table
