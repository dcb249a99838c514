"""Whatever is imported, the table that comes of it has no fault, and no secret is in it or in the notes."""

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config import ConfigError, load
from proxy.config.importing import NothingToImport, from_environment, from_litellm
from proxy.config.importing.dotenv import Variables
from proxy.facts.litellm import DEFAULTS, GENERAL, INFO, LITELLM, MODEL_INFO, PARAMS, PRICES, ROUTER
from proxy.facts.variables import SAYS, SCOPES, UNITS, WINDOWS
from proxy.facts.vendors import SHAPED, UNSPOKEN, VENDORS

FEW = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SECRET = "sk-canary"
ANY_VALUE = "https://stand-in.example/v1"

WORDS = st.one_of(
    st.sampled_from(
        ["openai", "claude", "google", "vllm", "azure", "nobody", "deepseek,openai", "[mistral; vllm]"]
    ),
    st.sampled_from(["gpt-4o", "claude-opus-5", "llama3.1", "a b", "mistralai/Mixtral-8x7B", "*", "x" * 200]),
    st.sampled_from(["60", "0", "-1", "5000", "50k", "2m", "0.8", "75,90", "true", "no", "unlimited", "1e9"]),
    st.sampled_from(
        ["http://h:8000", "localhost:11434", f"http://me:{SECRET}@h/", "https://h/v1?a=b", "${X}"]
    ),
    st.text(max_size=6),
)
NAMES = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", "AI_", "LLM_"]),
        st.sampled_from(["", *(f"{each.name.upper()}_" for each in VENDORS), "PRIMARY_", "FALLBACK_"]),
        st.sampled_from([*SAYS, "PLANNER_MODEL", "EMBEDDING_MODEL", "MYSTERY"]),
    ),
    st.builds(
        "AI_{}_{}_{}_LIMIT".format,
        st.sampled_from([*SCOPES, "OPENAI", "VLLM"]),
        st.sampled_from([*WINDOWS]),
        st.sampled_from([*UNITS]),
    ),
    st.sampled_from(
        ["FALLTHROUGH_LISTEN", "FALLTHROUGH_DRAIN", "FALLTHROUGH_AUTH", "CIRCUIT_BREAKER_TIMEOUT"]
    ),
)


def told(read):
    """What is imported, or the refusal."""
    try:
        return read()
    except (NothingToImport, ConfigError) as refusal:
        return str(refusal)


def judged(tmp_path, read):
    """The table loads without a fault and without a notice; nothing shows the secret."""
    made = told(read)
    if isinstance(made, str):
        assert SECRET not in made
        return
    assert SECRET not in made.text + "".join(map(str, made.notes))
    path = tmp_path / "table.yaml"
    path.write_text(made.text)
    loaded = load(path, dict.fromkeys(made.variables, ANY_VALUE))
    assert not loaded.notices
    assert loaded.table.routes


@FEW
@given(st.dictionaries(NAMES, WORDS, max_size=12))
def test_any_variables(tmp_path, values):
    values = {name: SECRET if name.endswith(("KEY", "TOKEN")) else value for name, value in values.items()}
    judged(tmp_path, lambda: from_environment(Variables("f", values, {})))


SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-2, 10**6), st.floats(allow_nan=False, allow_infinity=False)),
    st.sampled_from(["os.environ/SOME_NAME", "30d", "60", "${X}", "a/b", "\x00", "é", "slack", ""]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)
MODEL_NAMES = st.sampled_from(["gpt-4o", "chat", "claude-*", "*", "a b", "local"])
MODELS = st.builds(
    "{}{}".format,
    st.sampled_from(
        ["", *(f"{each}/" for each in (*SHAPED, *UNSPOKEN, *(vendor.name for vendor in VENDORS)))]
    ),
    st.sampled_from(
        ["gpt-4o", "claude-opus-5", "gemini-2.5-pro", "mistralai/Mixtral-8x7B", "*", "x y", "llama"]
    ),
)
BASES = st.sampled_from(
    ["http://h:8000/v1", "http://h", "os.environ/BASE", f"http://me:{SECRET}@h/v1", "h:1", 7]
)
KEYS = st.sampled_from(["os.environ/OPENAI_API_KEY", "os.environ/K", SECRET, f"{SECRET}-2", "none", None])
PARAMETERS = st.fixed_dictionaries(
    {"model": MODELS},
    optional={
        "api_base": BASES,
        "api_key": KEYS,
        "extra_headers": st.dictionaries(st.sampled_from(["X-Team", "Authorization", "é"]), st.just(SECRET)),
        "rpm": SCALARS,
        "tpm": st.integers(1, 10**6),
        "timeout": SCALARS,
        "weight": SCALARS,
        "order": st.integers(1, 3),
        "custom_llm_provider": st.sampled_from(["openai", "azure", "x"]),
        **dict.fromkeys((*DEFAULTS, *PRICES), TREES),
        **dict.fromkeys(PARAMS, SCALARS),
    },
)
FALLBACKS = st.lists(
    st.dictionaries(MODEL_NAMES, st.lists(MODEL_NAMES, max_size=2) | TREES, max_size=2), max_size=3
)
GROUPS = {
    "fallbacks": FALLBACKS | TREES,
    "context_window_fallbacks": FALLBACKS,
    "default_fallbacks": st.lists(MODEL_NAMES, max_size=2) | TREES,
    "model_group_alias": st.dictionaries(MODEL_NAMES, MODEL_NAMES | TREES, max_size=2) | TREES,
    "provider_budget_config": st.dictionaries(
        st.sampled_from(["openai", "x"]),
        st.just({"budget_limit": 5, "time_period": "1d"}) | TREES,
        max_size=2,
    ),
}
CARRIED = ("num_retries", "allowed_fails", "cooldown_time", "timeout", "stream_timeout", "request_timeout")
FILES = st.fixed_dictionaries(
    {
        "model_list": st.lists(
            st.fixed_dictionaries(
                {"model_name": MODEL_NAMES, "litellm_params": PARAMETERS},
                optional={
                    "model_info": st.dictionaries(
                        st.sampled_from([*INFO, *MODEL_INFO, *PRICES, "mode"]), SCALARS, max_size=3
                    ),
                    "more": TREES,
                },
            )
            | TREES,
            max_size=4,
        )
    },
    optional={
        "router_settings": st.fixed_dictionaries(
            {}, optional={**GROUPS, **dict.fromkeys((*CARRIED, *ROUTER), SCALARS)}
        ),
        "general_settings": st.dictionaries(
            st.sampled_from(
                [*GENERAL, "alerting", "global_max_parallel_requests", "max_parallel_requests", "x"]
            ),
            SCALARS,
            max_size=4,
        ),
        "litellm_settings": st.dictionaries(
            st.sampled_from([*LITELLM, *CARRIED, "drop_params", "max_budget", "budget_duration"]),
            SCALARS,
            max_size=4,
        )
        | TREES,
        "environment_variables": st.just({"A": SECRET}),
        "other": TREES,
    },
)


@FEW
@given(FILES)
def test_any_litellm_file(tmp_path, tree):
    data = yaml.safe_dump(tree).encode("utf-8", "surrogatepass")
    judged(tmp_path, lambda: from_litellm("f", data))


@FEW
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path, data):
    judged(tmp_path, lambda: from_litellm("f", data))
