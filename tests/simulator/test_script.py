"""The script: which call a rule is for, and what is said of a script that cannot be played."""

import pytest

from proxy.simulator import ScriptFault
from proxy.simulator.script import Scene, Script


def hit(when, calls=10, elapsed_s=0.0, model="m", stream=False):
    """The numbers of the calls that a rule is for."""
    script = Script.parse(f"openai: [{{when: {when}, do: {{status: 500}}}}]".encode())
    scenes = [
        Scene(number=number, elapsed_s=elapsed_s, model=model, stream=stream)
        for number in range(1, calls + 1)
    ]
    return [scene.number for scene in scenes if script.act("openai", scene).status == 500]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{}", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("{call: 3}", [3]),
        ("{calls: 3-5}", [3, 4, 5]),
        ("{calls: 8-}", [8, 9, 10]),
        ("{call: 4, calls: 3-5}", [4]),
        ("{calls: 2-4, share: 0.5}", [2, 4]),
        ("{share: 0.3}", [4, 7, 10]),
        ("{share: 1}", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ],
)
def test_which_calls(when, expected):
    assert hit(when) == expected


@pytest.mark.parametrize("percent", [1, 7, 29, 33, 50, 57, 58, 99])
def test_of_any_hundred_calls_the_share_is_hit(percent):
    assert len(hit(f"{{share: {percent / 100}}}", calls=100)) == percent


@pytest.mark.parametrize(
    ("when", "elapsed_s", "holds"),
    [
        ("{after: 10s}", 9.9, False),
        ("{after: 10s}", 10.0, True),
        ("{before: 1m}", 59.9, True),
        ("{before: 1m}", 60.0, False),
        ("{after: 1s, before: 2s}", 1.5, True),
    ],
)
def test_which_times(when, elapsed_s, holds):
    assert bool(hit(when, 1, elapsed_s)) is holds


@pytest.mark.parametrize(
    ("when", "model", "stream", "holds"),
    [
        ("{model: gpt-5}", "gpt-5", False, True),
        ("{model: gpt-5}", "gpt-5-mini", False, False),
        ("{model: 'gpt-*'}", "gpt-5-mini", False, True),
        ("{stream: true}", "m", True, True),
        ("{stream: true}", "m", False, False),
        ("{stream: no}", "m", False, True),
        ("{stream: true, model: x}", "m", True, False),
    ],
)
def test_which_models_and_moods(when, model, stream, holds):
    assert bool(hit(when, 1, model=model, stream=stream)) is holds


def test_the_first_rule_that_matches_decides_and_the_rest_is_healthy():
    rules = b"openai:\n - {when: {call: 1}, do: {}}\n - {when: {calls: 1-2}, do: {status: 500}}\n"
    script = Script.parse(rules)
    scenes = [Scene(number=number, elapsed_s=0, model="m", stream=False) for number in (1, 2, 3)]
    assert [script.act("openai", scene).status for scene in scenes] == [None, 500, None]
    assert script.act("other", scenes[1]).status is None


@pytest.mark.parametrize(
    ("text", "dialects"),
    [
        (b"", ("openai", "vllm", "vllm")),
        (b"one: {dialect: vllm}\nvllm: {dialect: openai}", ("vllm", "openai", "vllm")),
    ],
)
def test_the_dialect_is_told_or_read_from_the_name(text, dialects):
    script = Script.parse(text)
    assert tuple(map(script.dialect, ("one", "vllm", "my-vllm-2"))) == dialects


def test_a_server_of_that_name_is_played_as_strictly_unless_the_script_says_otherwise():
    script = Script.parse(b"mistral: {dialect: openai}\nother: {dialect: mistral}")
    played = [script.dialect(name) for name in ("mistral", "other", "deepseek", "ollama", "vllm-mistral")]
    assert played == ["openai", "mistral", "deepseek", "ollama", "vllm"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "line 1: write upstream names, each with its rules"),
        ("a: [", "line 1: this is not YAML"),
        ("one:\n  - do: {statuss: 500}", "line 2: one[0].do.statuss: Extra inputs are not permitted"),
        ("one:\n  rules:\n  - do:\n      status: 99", "line 4: one.rules[0].do.status: Input should be"),
        ("one:\n  - {}\n  - when: {cal: 1}", "line 3: one[1].when.cal: Extra"),
        ("one:\n  - do: {delay: 5}", "line 2: one[0].do.delay: a duration without a unit"),
        ("one:\n  - do: {error: nope}", "line 2: one[0].do.error: Input should be 'rate_limit'"),
        ("one:\n  - when: {calls: 5-3}", "line 2: one[0].when: Value error, no call is in this range"),
        ("one:\n  - when: {call: 9, calls: 1-3}", "one[0].when: Value error, no call is in this range"),
        ("one:\n  - when: {after: 2s, before: 1s}", "one[0].when: Value error, no time"),
        ("one:\n  - when: {share: 1.5}", "one[0].when.share: Input should be less than or equal to 1"),
        ("one:\n  - when: {calls: x}", "one[0].when.calls: String should match pattern"),
        ("one:\n  - do: {status: '${STATUS}'}", "line 2: one[0].do.status: a script knows no variables"),
        (
            "one:\n  dialect: cobol",
            "line 2: one.dialect: Input should be 'openai', 'vllm'",
        ),
        ("one: []\none: []", "line 2: one: this key was written before (line 1)"),
        ("one: 7", "line 1: one: Input should be a valid dictionary"),
    ],
)
def test_a_faulty_script_is_told_with_its_place(text, message):
    with pytest.raises(ScriptFault) as caught:
        Script.parse(text.encode())
    assert message in str(caught.value)


def test_every_fault_is_told_at_once():
    with pytest.raises(ScriptFault, match=r"line 1: one\[0\]\.do\.cut: .*; line 2: two\[0\]\.do\.x: "):
        Script.parse(b"one: [{do: {cut: -1}}]\ntwo: [{do: {x: 1}}]")


def test_bytes_that_are_no_text_are_a_fault():
    with pytest.raises(ScriptFault, match="not UTF-8"):
        Script.parse(b"\xff\xfe\x00")
