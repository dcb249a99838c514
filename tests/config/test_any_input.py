"""No input, however odd, ends in anything but a table or a `ConfigError` without the secret."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config import ConfigError, load
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
