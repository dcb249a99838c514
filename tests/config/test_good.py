"""What a right file becomes."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from proxy.config import Address, ConfigError, load
from proxy.facts.capabilities import DEEPSEEK, MISTRAL, NEVER, VLLM
from proxy.store.subjects import pseudonym_of
from proxy.table import BreakerRules, Consent, Every, Limit, Per, Target, Timeouts, Unit
from proxy.usage import Price

ROOT = Path(__file__).parents[2]

SMALL = """
upstreams:
  openai: {api_key: "${KEY:-sk-x}"}
routes:
  - {model: gpt-4o, targets: [openai/gpt-4o]}
"""


@pytest.fixture
def read(tmp_path):
    def _read(text, **environ):
        path = tmp_path / "table.yaml"
        path.write_text(text)
        return load(path, environ)

    return _read


def test_everything_has_a_default_but_upstreams_and_routes(read):
    loaded = read(SMALL)
    settings = loaded.settings
    assert (str(settings.listen), str(settings.admin), str(settings.probes)) == (
        "127.0.0.1:8080",
        "127.0.0.1:8081",
        "127.0.0.1:8082",
    )
    assert (settings.ledger, settings.auth, settings.drain_s) == (Path("var/ledger.db"), "keys", 30.0)
    upstream = loaded.table.upstreams["openai"]
    assert upstream.base_url == "https://api.openai.com/v1"
    assert (upstream.timeouts, upstream.breaker) == (Timeouts(), BreakerRules())
    (route,) = loaded.table.routes
    assert (route.targets, route.attempts, route.max_output_tokens) == (
        (Target("openai", "gpt-4o", Price(2_500_000_000, 10_000_000_000, 1_250_000_000)),),
        2,
        4096,
    )
    assert loaded.notices == ()


def test_rows_are_kept_for_ever_or_as_long_as_the_table_says(read):
    assert read(SMALL).table.privacy.retention_s is None
    for written, seconds in (("90d", 90 * 86_400), ("3660d", 3660 * 86_400), ("36h", 36 * 3600)):
        assert read(f"{SMALL}privacy: {{retention: {written}}}").table.privacy.retention_s == seconds


@pytest.mark.parametrize("word", list(Consent))
def test_consent_is_one_of_three_words(read, word):
    tagged = SMALL.replace('{api_key: "${KEY:-sk-x}"}', '{api_key: "${KEY:-sk-x}", tags: [self-hosted]}')
    assert read(SMALL).table.privacy.consent is Consent.OPTIONAL
    assert read(f"{tagged}privacy: {{consent: {word}}}").table.privacy.consent is word


def test_proxy_yaml_shows_what_works_and_is_right():
    environ = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DEEPSEEK_API_KEY"), "k") | {
        "OTHER_API_KEY": "k",
        "OLLAMA_URL": "http://127.0.0.1:11434/v1",
        "OTHER_URL": "https://example.com/v1/",
    }
    loaded = load(ROOT / "config/proxy.yaml", environ)
    assert loaded.notices == ()
    assert list(loaded.table.upstreams) == ["openai", "anthropic", "deepseek", "ollama", "other", "vllm"]
    first = loaded.table.routes[0]
    assert [str(target) for target in first.targets] == [
        "openai/gpt-4o",
        "anthropic/claude-sonnet-4-5",
        "deepseek/deepseek-chat",
        "vllm/mistralai/Mixtral-8x7B-Instruct-v0.1",
    ]
    assert first.timeouts == {"first_token_s": 20.0}
    assert loaded.table.upstreams["vllm"].timeouts == Timeouts(connect_s=2.0, idle_s=30.0)
    assert loaded.table.upstreams["other"].base_url == "https://example.com/v1"


def test_proxy_yaml_names_every_key_of_the_grammar():
    text = (ROOT / "config/proxy.yaml").read_text()
    page = (ROOT / "docs/config.md").read_text().split("## Keys")[1].split("## Without a file")[0]
    keys = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert len(keys) > 60
    assert {key for key in keys if f"{key}:" not in text} == set()


def test_the_quickstart_needs_no_key_and_says_that_it_simulates():
    loaded = load(ROOT / "config/quickstart.yaml", {})
    assert list(loaded.table.upstreams) == ["simulated-openai", "simulated-vllm"]
    twin = loaded.table.upstreams["simulated-openai"]
    assert (twin.simulated, twin.dialect, twin.base_url, twin.api_key) == (
        True,
        "openai",
        "http://simulator.invalid/openai/v1",
        None,
    )
    assert [route.model for route in loaded.table.routes] == ["gpt-4o-mini", "chat", "*"]
    assert [str(target) for target in loaded.table.routes[0].targets] == [
        "simulated-openai/gpt-4o-mini",
        "simulated-vllm/mistralai/Mistral-7B-Instruct-v0.3",
    ]
    assert loaded.table.routes[0].targets[0].price == Price(150_000_000, 600_000_000, 75_000_000)
    assert loaded.table.off == {
        "openai": "OPENAI_API_KEY is not set",
        "vllm": "VLLM_URL is not set",
    }
    assert loaded.notices[0] == "upstream openai is off: OPENAI_API_KEY is not set"
    assert loaded.notices[-1].startswith("SIMULATED: ")


def test_the_quickstart_uses_the_real_upstream_that_has_a_key():
    loaded = load(ROOT / "config/quickstart.yaml", {"OPENAI_API_KEY": "sk-x"})
    assert list(loaded.table.upstreams) == ["openai"]
    assert [str(target) for target in loaded.table.routes[1].targets] == ["openai/gpt-4o"]


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
        ('"[::1]:0"', Address("::1", 0)),
        ("unix:/run/f.sock", Address(path=Path("/run/f.sock"))),
    ],
)
def test_a_listener_is_a_port_or_a_socket(read, written, address):
    assert read(f"settings: {{listen: {written}}}\n{SMALL}").settings.listen == address


def test_auth_none_is_for_this_machine_alone(read):
    for listen in ("127.0.0.1:1", "localhost:1", '"[::1]:1"', "unix:/run/f.sock", "127.9.9.9:1"):
        assert read(f"settings: {{listen: {listen}, auth: none}}\n{SMALL}").settings.auth == "none"


@pytest.mark.parametrize(
    "listen", ["127.0.0.1.example.org:1", "127.example.org:1", "localhost.org:1", '"[::]:1"']
)
def test_a_name_that_looks_like_this_machine_is_not_this_machine(read, listen):
    with pytest.raises(ConfigError, match="anybody who reaches"):
        read(f"settings: {{listen: {listen}, auth: none}}\n{SMALL}")


def test_a_listener_can_be_off(read):
    settings = read(f"settings: {{admin: off, probes: no}}\n{SMALL}".replace("no}", "false}")).settings
    assert (settings.admin, settings.probes) == (None, None)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://proxy@db/ledger", "postgresql://proxy@db/ledger"),
        (
            "postgres://proxy:${KEY}@db:5433/ledger?sslmode=verify-full",
            "postgres://proxy@db:5433/ledger?sslmode=verify-full",
        ),
        ("postgresql://proxy@one:5432,two:5432/ledger", "postgresql://proxy@one:5432,two:5432/ledger"),
        (
            "postgresql:///ledger?host=/run/postgresql&password=${KEY}",
            "postgresql:///ledger?host=/run/postgresql",
        ),
        ("postgresql://[::1]/?dbname=ledger", "postgresql://[::1]/?dbname=ledger"),
    ],
)
def test_a_database_is_a_ledger_whose_password_is_never_shown(read, written, shown):
    settings = read(f"settings: {{ledger: '{written}'}}\n{SMALL}", KEY="hunter2").settings
    assert str(settings.ledger) == shown
    assert "hunter2" not in repr(settings)


def test_four_slashes_are_an_absolute_ledger(read):
    settings = read(f"settings: {{ledger: 'sqlite:////var/lib/l.db'}}\n{SMALL}").settings
    assert settings.ledger == Path("/var/lib/l.db")


@pytest.mark.parametrize(
    ("written", "seconds"), [("250ms", 0.25), ("2s", 2), ("5m", 300), ("1h", 3600), ("90d", 7776000)]
)
def test_durations_carry_their_unit(read, written, seconds):
    assert read(f"settings: {{drain: {written}}}\n{SMALL}").settings.drain_s == seconds


def test_limits_become_integers_of_their_unit(read):
    loaded = read(
        SMALL + "limits:\n"
        "  - {per: tenant, tokens: 50_000, every: day}\n"
        "  - {per: key, requests: 60, every: minute, alert: [100, 50]}\n"
        "  - {tenant: acme, model: gpt-4o, usd: 20.000000001, every: month}\n"
        "  - {upstream: openai, tokens: 010_000, every: day, alert: []}\n"
        "prices:\n  openai/*: {input: 0.15, output: 0.6, cached: 0.075, cache_write: 1}\n"
    )
    assert loaded.table.limits == (
        Limit(Unit.TOKENS, 50_000, Every.DAY, Per.TENANT),
        Limit(Unit.REQUESTS, 60, Every.MINUTE, Per.KEY, marks=(50,)),
        Limit(Unit.NANO_USD, 20_000_000_001, Every.MONTH, tenant="acme", model="gpt-4o"),
        Limit(Unit.TOKENS, 10_000, Every.DAY, upstream="openai", marks=()),
    )
    assert loaded.table.routes[0].targets[0].price == Price(
        150_000_000, 600_000_000, 75_000_000, 1_000_000_000
    )


def test_a_limit_may_be_as_low_as_what_one_call_holds_at_least(read):
    """A token lower it is a fault: `bad/limit-too-low.yaml`."""
    (limit,) = read(f"{SMALL}limits: [{{per: tenant, tokens: 4_097, every: day}}]\n").table.limits
    assert limit.ceiling == 4_097


def test_a_limits_windows_begin_where_it_says_or_else_the_settings(read):
    limits = (
        "limits:\n"
        "  - {per: tenant, tokens: 50_000, every: day}\n"
        "  - {per: tenant, tokens: 50_000, every: week, tz: UTC}\n"
        "  - {per: tenant, tokens: 50_000, every: month, tz: Asia/Tokyo}\n"
        "  - {per: tenant, requests: 50_000, every: hour}\n"
        "  - {per: user, streams: 4}\n"
    )
    for head, first in (("", None), ("settings: {tz: Europe/Paris}\n", ZoneInfo("Europe/Paris"))):
        table = read(head + SMALL + limits).table
        assert [limit.zone for limit in table.limits] == [first, None, ZoneInfo("Asia/Tokyo"), None, None]


def test_a_shadow_may_stand_beside_the_limit_it_tries(read):
    limits = "limits:\n  - {per: tenant, tokens: 50_000, every: day}\n"
    limits += "  - {per: tenant, tokens: 40_000, every: day, shadow: true}\n"
    assert [limit.shadow for limit in read(SMALL + limits).table.limits] == [False, True]


def test_calls_at_once_have_no_window(read):
    (limit,) = read(SMALL + "limits:\n  - {per: user, route: gpt-4o, streams: 4}\n").table.limits
    assert limit == Limit(Unit.STREAMS, 4, None, Per.USER, route="gpt-4o")


def test_a_route_keeps_only_targets_that_are_on(read):
    text = (
        "upstreams:\n  a: {api_key: '${UNSET}'}\n  b: {base_url: 'http://h/v1'}\n"
        "routes:\n  - {model: m, targets: [a/m, {target: b/m/n}]}\n"
    )
    loaded = read(text)
    assert loaded.table.routes[0].targets == (Target("b", "m/n"),)
    assert [target.upstream for target in loaded.table.routes[0].off] == ["a"]
    assert loaded.table.off == {"a": "UNSET is not set"}
    assert loaded.notices == ("upstream a is off: UNSET is not set",)


def test_an_upstream_waiting_for_any_variable_is_off_and_still_judged(read):
    text = (
        "upstreams:\n"
        "  a:\n    base_url: ${URL}\n    headers: {X-Team: '${TEAM}'}\n    tags: ['${TAG}']\n"
        "  b: {base_url: 'http://h/v1'}\n"
        "routes:\n  - {model: m, targets: [a/m, b/m]}\n"
    )
    assert list(read(text).table.off) == ["a"]
    assert read(text, URL="http://x/v1", TEAM="t", TAG="eu").table.off == {}


def test_an_empty_secret_that_nothing_uses_only_turns_its_upstream_off(read):
    loaded = read(SMALL.replace("routes:", "  spare: {api_key: '${EMPTY}'}\nroutes:"), EMPTY="")
    assert loaded.table.off == {"spare": "its api_key is empty"}


def test_an_empty_default_means_not_written(read):
    text = SMALL.replace("${KEY:-sk-x}", "${KEY:-}")
    assert read(text).table.upstreams["openai"].api_key is None
    assert read(text, KEY="sk-y").table.upstreams["openai"].api_key.reveal() == "sk-y"


def test_secrets_come_from_files_and_variables_and_are_never_shown(read, tmp_path):
    secret = tmp_path / "key"
    secret.write_text("sk-from-file\n")
    text = SMALL.replace("${KEY:-sk-x}", f"${{file:{secret}}}").replace(
        "openai: {", "openai: {headers: {X-Key: 'sk-in-header'}, "
    )
    loaded = read(text)
    assert loaded.table.upstreams["openai"].api_key.reveal() == "sk-from-file"
    assert "sk-" not in repr(loaded)


def test_a_value_filled_in_is_not_filled_in_again(read):
    loaded = read(SMALL, KEY="${HOME}$${")
    assert loaded.table.upstreams["openai"].api_key.reveal() == "${HOME}$${"


def test_words_are_read_as_people_mean_them(read):
    loaded = read(
        "upstreams:\n"
        "  openai: {tags: [no, on], capabilities: {prefill: yes, nulls: no}, timeouts: {idle: 1.5m}}\n"
        "routes:\n"
        "  - model: gpt-4o\n"
        "    targets: [openai/gpt-4o]\n"
        "    max_output_tokens: 1_000\n"
        "    defaults: {temperature: 0.7, seed: 010, stop: [no, 12:30], user: null, logprobs: true}\n"
    )
    upstream, route = loaded.table.upstreams["openai"], loaded.table.routes[0]
    assert upstream.tags == {"no", "on"}
    assert (upstream.capabilities.prefill, upstream.capabilities.nulls) == (True, False)
    assert upstream.timeouts.idle_s == 90
    assert route.max_output_tokens == 1000
    assert route.defaults == {
        "temperature": 0.7,
        "seed": 10,
        "stop": ["no", "12:30"],
        "user": None,
        "logprobs": True,
    }


@pytest.mark.parametrize(("written", "drops"), [("true", True), ("yes", True), ("no", False), ("", False)])
def test_a_route_may_drop_what_a_target_cannot_do(read, written, drops):
    text = SMALL.replace("]}", f"], drop_params: {written}}}")
    assert read(text).table.routes[0].drop_params is drops


def test_a_reference_may_stand_for_a_number(read):
    text = SMALL.replace("]}", "], max_output_tokens: '${MAX}'}")
    assert read(text, MAX="2_048").table.routes[0].max_output_tokens == 2048


def test_a_breaker_may_stay_open_longer_than_the_default_ceiling(read):
    loaded = read(SMALL.replace("openai: {", "openai: {breaker: {open: 1h}, "))
    assert loaded.table.upstreams["openai"].breaker == BreakerRules(5, 3600.0, 3600.0)


def test_a_server_is_known_by_its_host_or_by_name(read):
    text = (
        "upstreams:\n  a: {base_url: 'https://api.mistral.ai/v1'}\n"
        "  b: {base_url: 'http://h/v1', capabilities: mistral}\n"
        "  c: {base_url: 'http://h/v1', dialect: vllm}\n"
        "routes:\n  - {model: m, targets: [a/m, b/m, c/m]}\n"
    )
    upstreams = read(text).table.upstreams
    assert upstreams["a"].capabilities == upstreams["b"].capabilities == MISTRAL
    assert upstreams["c"].capabilities == VLLM


def test_a_known_server_can_be_corrected_member_by_member(read):
    text = SMALL.replace(
        "openai: {",
        "openai: {capabilities: {like: mistral, accept: [top_k, user], strip: [n], refuse: [prediction],"
        " rename: {a: b}, tool_ids: any}, ",
    )
    made = read(text).table.upstreams["openai"].capabilities
    assert made.accept == (MISTRAL.accept | {"top_k", "user"}) - {"n", "prediction"}
    assert made.strip == (MISTRAL.strip | {"n"}) - {"user"}
    assert made.refuse == MISTRAL.refuse | {"prediction"}
    assert dict(made.rename) == {**dict(MISTRAL.rename), "a": "b"}
    assert (made.tool_ids, made.usage_option) == ("any", False)


def test_every_way_of_a_server_can_be_said_in_the_table(read):
    text = SMALL.replace(
        "openai: {",
        "openai: {capabilities: {like: deepseek, efforts: {none: low, medium: medium}, strip_inside: [],"
        " own_members: [p], images: data, person: end_user, temperature_max: 1, schemas: yes}, ",
    )
    made = read(text).table.upstreams["openai"].capabilities
    assert dict(made.efforts) == {**dict(DEEPSEEK.efforts), "none": "low", "medium": "medium"}
    assert (made.strip_inside, made.own_members) == (frozenset(), frozenset({"p"}))
    assert (made.images, made.person, made.temperature_max, made.schemas) == ("data", "end_user", 1.0, True)
    assert (made.reasoning_required, made.thinking_switch, made.flatten_content) == (True, True, True)


def test_no_correction_opens_the_engine_of_a_vllm(read):
    text = (
        "upstreams:\n  v: {dialect: vllm, base_url: 'http://h/v1', capabilities: {like: openai}}\n"
        "routes:\n  - {model: m, targets: [v/m]}\n"
    )
    assert read(text).table.upstreams["v"].capabilities.strip >= NEVER


def test_a_vendors_own_address_need_not_be_written(read):
    text = """
upstreams:
  anthropic: {dialect: anthropic, api_key: "sk-x", headers: {anthropic-version: "2026-10-21"}}
  gemini: {dialect: gemini, api_key: "sk-x"}
routes:
  - {model: gemini-2.5-flash, targets: [gemini/gemini-2.5-flash, anthropic/claude-haiku-4-5]}
"""
    upstreams = read(text).table.upstreams
    assert upstreams["anthropic"].base_url == "https://api.anthropic.com"
    assert upstreams["anthropic"].headers == (("anthropic-version", "2026-10-21"),)
    gemini = upstreams["gemini"]
    assert gemini.base_url == "https://generativelanguage.googleapis.com/v1beta"
    assert gemini.capabilities.accept is None


def test_a_limit_names_a_person_as_the_ledger_does(read):
    name = pseudonym_of(b"k" * 32)
    (limit,) = read(f"{SMALL}limits: [{{user: {name}, requests: 5, every: day}}]").table.limits
    assert limit.user == name
