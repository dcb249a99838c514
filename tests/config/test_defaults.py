"""`defaults` are what a caller could have sent; what is not is `bad/default-unsendable.yaml`."""

import orjson
import pytest

from proxy.config import ConfigError, load
from proxy.config.defaults import judged
from proxy.errors import CallerFault
from proxy.facts.members import FORMS, NAMES
from proxy.wire import body as wire_body

CALL = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture
def read(tmp_path):
    def _read(defaults, **environ):
        path = tmp_path / "table.yaml"
        route = f"{{model: m, targets: [a/x], defaults: {{{defaults}}}}}"
        path.write_text(f"upstreams: {{a: {{api_key: x}}}}\nroutes: [{route}]\n")
        return load(path, environ)

    return _read


@pytest.mark.parametrize("number", [-(2**63) - 1, 2**64])
@pytest.mark.parametrize("form", ["{seed: %d}", "{own: {deep: [1, %d]}}"])
def test_an_integer_that_no_body_can_hold_is_a_fault_wherever_it_stands(read, form, number):
    with pytest.raises(ConfigError, match="an integer of more than 64 bits"):
        read((form % number)[1:-1])


@pytest.mark.parametrize("number", [-(2**63), 2**64 - 1])
def test_the_largest_integers_are_written_for_the_upstream(read, number):
    defaults = read(f"seed: {number}").table.routes[0].defaults
    assert orjson.loads(orjson.dumps(dict(defaults))) == {"seed": number}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("n", value) for value in (0, 129, 1.5, "2", True)),
        *(("max_tokens", value) for value in (-5, 0, 10**8)),
        ("max_completion_tokens", "many"),
        *(("user", value) for value in (7, "x" * 513)),
        ("safety_identifier", []),
        *(("tools", value) for value in ({}, [1], "x")),
        ("functions", {}),
    ],
)
def test_what_a_caller_is_refused_for_no_table_may_fill_in(name, value):
    with pytest.raises(CallerFault):
        wire_body.check({**CALL, name: value})
    assert judged(name, value) is not None


@pytest.mark.parametrize("name", sorted(NAMES - {"model", "messages", "stream", "stream_options"}))
def test_null_passes_for_every_member_as_it_does_for_callers(name):
    wire_body.check({**CALL, name: None})
    assert judged(name, None) is None


@pytest.mark.parametrize("name", sorted(FORMS))
def test_no_number_that_is_none_stands_for_a_number(name):
    if float in FORMS[name].types or int in FORMS[name].types:
        assert judged(name, ".nan") is not None
        assert judged(name, "1e400") is not None


def test_servers_have_members_of_their_own(read):
    loaded = read("vendors_own: {level: -1}, think: true, top_a: 0.2, random_seed: 7, enable_thinking: false")
    assert len(loaded.table.routes[0].defaults) == 5
    assert loaded.notices == ()
    assert read("reasoning_format: parsed, models: [m]").notices == ()


@pytest.mark.parametrize(("name", "value"), [("logprobs", 1), ("logit_bias", [[15043, 1.0]])])
def test_a_form_that_only_some_servers_take_passes(name, value):
    assert judged(name, value) is None


def test_a_default_holds_what_only_looks_like_a_reference(read):
    assert read('own: "${WHO:-p$${w}"').table.routes[0].defaults == {"own": "p${w"}


@pytest.mark.parametrize(("written", "meant"), [("temprature", "temperature"), ("max_token", "max_tokens")])
def test_a_member_that_looks_misspelt_goes_up_and_is_told(read, written, meant):
    loaded = read(f"{written}: 1")
    assert dict(loaded.table.routes[0].defaults) == {written: 1}
    (notice,) = loaded.notices
    assert notice.startswith(f"routes[0].defaults.{written}: ")
    assert f"(`{meant}`?)" in notice


def test_a_number_out_of_a_variable_is_a_number(read):
    written = 'temperature: "${WARMTH:-0.7}", n: "${N}", own: "${N}"'
    defaults = read(written, N="2").table.routes[0].defaults
    assert dict(defaults) == {"temperature": 0.7, "n": 2, "own": "2"}
    with pytest.raises(ConfigError, match=r"not what `temperature` takes \(was \$\{WARMTH:-0.7\}\)"):
        read(written, N="2", WARMTH="hot")
