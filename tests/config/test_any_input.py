"""No input, however odd, ends in anything but a table or a `ConfigError` without the secret."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config import ConfigError, load
from proxy.config.faults import plain
from proxy.config.schema import schema

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "config/proxy.yaml").read_text()
SECRET = "sk-Secret-Value-1234"
ENVIRON = {"OPENAI_API_KEY": SECRET, "KEY": SECRET}
FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

KEYS = sorted({key for part in schema()["$defs"].values() for key in part.get("properties", {})})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["${KEY}", "${UNSET}", "${KEY:-x}", "${", "a/b", "openai/x", "2s", "off", "\x00", "\ud800", "*"]
    ),
    st.text(max_size=8),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
SECTIONS = ["settings", "upstreams", "routes", "limits", "alerts", "privacy", "prices", "models"]


def tried(path, data):
    path.write_bytes(data)
    try:
        load(path, ENVIRON)
    except ConfigError as error:
        shown = str(error) + repr(error.faults)
        shown.encode()
        assert SECRET not in shown


@pytest.mark.fault("d9-faulty")
@FEW
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path, data):
    tried(tmp_path / "t.yaml", data)


@FEW
@given(
    st.integers(0, len(EXAMPLE)),
    st.integers(0, 40),
    st.sampled_from(["", "${KEY}", ": ", "- ", "{", "\t", "!x "]),
)
def test_any_cut_of_the_example(tmp_path, at, length, filling):
    tried(tmp_path / "t.yaml", (EXAMPLE[:at] + filling + EXAMPLE[at + length :]).encode())


@FEW
@given(st.dictionaries(st.sampled_from(SECTIONS), TREES, max_size=8))
def test_any_tree(tmp_path, tree):
    tried(tmp_path / "t.yaml", yaml.safe_dump(tree).encode("utf-8", "surrogatepass"))


PIECES = {
    "upstreams": st.fixed_dictionaries({"openai": st.dictionaries(st.sampled_from(KEYS), TREES, max_size=4)}),
    "routes": st.lists(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=4), max_size=3),
    "limits": st.lists(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=4), max_size=3),
    "prices": st.dictionaries(st.text(max_size=5), TREES, max_size=3),
    "settings": st.dictionaries(st.sampled_from(KEYS), TREES, max_size=4),
}


@FEW
@given(st.fixed_dictionaries({}, optional=PIECES))
def test_any_tree_of_the_right_shape(tmp_path, tree):
    tried(tmp_path / "t.yaml", yaml.safe_dump(tree).encode("utf-8", "surrogatepass"))


@FEW
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "OPENAI_API_KEY",
                "VLLM_URL",
                "VLLM_MODEL",
                "FALLTHROUGH_ORDER",
                "FALLTHROUGH_LISTEN",
                "FALLTHROUGH_SIMULATOR",
                "FALLTHROUGH_LEDGER",
            ]
        ),
        st.text(max_size=12),
    )
)
def test_any_environment(environ):
    try:
        load(None, environ)
    except ConfigError:
        return


def faults_of(path):
    try:
        load(path, {})
    except ConfigError as error:
        return str(error)
    return ""


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, item in inner:
        yield from places(item, (*path, part))


def with_it(value, path, it):
    """A copy in which `it` stands at `path`."""
    if not path:
        return it
    copy = value.copy()
    copy[path[0]] = with_it(value[path[0]], path[1:], it)
    return copy


OF_EVERYTHING = """
settings: {listen: "127.0.0.1:1", ledger: "sqlite:///l.db", auth: keys}
upstreams:
  a: {dialect: vllm, base_url: "http://a", tags: [eu], breaker: {open: 1s}, capabilities: {like: vllm}}
routes: [{model: m, targets: [a/m, {target: a/n}], hedge: {after: 1s}, defaults: {n: 1}}]
limits: [{per: key, requests: 9, every: day, route: m}]
alerts: {webhook: ""}
prices: {a/m: {input: 1, output: 1}}
"""


def test_a_key_is_shown_in_no_fault_wherever_it_was_written_by_mistake(tmp_path):
    table, key = yaml.safe_load(OF_EVERYTHING), "sk-proj-SECRETKEY"
    path = tmp_path / "t.yaml"
    told = []
    for place in places(table):
        for spoilt in (with_it(table, place, key), with_it(table, place, {key: key})):
            path.write_text(yaml.safe_dump(spoilt))
            told.append(faults_of(path))
    assert sum(map(bool, told)) > 60
    assert key not in "".join(told)


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-SECRETKEY",
        "AIzaSySecretSecret-_x",
        "ft-" + 3 * "0123456789abcdef",
        "Bearer hunter2",
        "0123456789abcdef0123456789ABCDEF",
        "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "gsk_secretsecret",
        "hf_AbCdEfGhIjKlMnOpQrSt",
        "AKIASECRETSECRET1",
        "nvapi-secret-secret_ab",
        "ya29.secret-secret",
    ],
)
def test_what_looks_like_a_key_is_not_shown(key):
    assert plain(f"a {key} b") == "a … b"
    assert plain(f"{'x' * 50} {key}").endswith("x …")


def test_whatever_stands_where_an_upstream_belongs_is_not_shown(tmp_path):
    path = tmp_path / "t.yaml"
    for text in ("upstreams: hunter2", "upstreams: {a: hunter2}", "alerts: hunter2", "settings: hunter2"):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "mistralai/Mixtral-8x7B-Instruct-v0.1",
        "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
        "meta-llama/Llama-3.1-405B-Instruct-Turbo",
        "ft:gpt-4o-mini-2024-07-18:acme::AbC123xy",
        "task-runner-of-the-house",
        "Internationalisierungsbeauftragte",
    ],
)
def test_names_of_models_are_shown_whole(name):
    assert plain(name) == name
