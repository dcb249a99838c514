"""The Compose file: right by its schema, closed, and with what the real vLLM and the real table want."""

import json
import re

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator

from proxy.cli import cli
from tests.deploy.judges import DEPLOY, TOOLS, faults, needed

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
TABLE = DEPLOY / "compose" / "proxy.yaml"


@pytest.fixture(scope="module")
def schema():
    return Draft7Validator(json.loads(needed(TOOLS / "compose.schema.json").read_text()))


def test_compose_takes_the_file(schema):
    known = {key: value for key, value in COMPOSE.items() if key != "name"}  # younger than this schema
    assert not faults(schema, known)
    assert faults(schema, {**known, "services": {"proxy": {**SERVICES["proxy"], "imagee": "x"}}})


def test_the_proxy_is_closed_and_reached_from_this_machine_only():
    for name in ("proxy", "prometheus", "grafana"):
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_image_has_a_tag_that_does_not_wander():
    for service in SERVICES.values():
        _, _, tag = service["image"].rpartition(":")
        assert any(character.isdigit() for character in tag)


def test_what_is_mounted_is_there_and_every_volume_is_named():
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    assert (DEPLOY / SERVICES["proxy"]["build"]["context"] / "Dockerfile").exists()


@pytest.mark.parametrize("exported", [{}, {"OPENAI_API_KEY": "sk-x"}], ids=["no vendor", "one vendor"])
def test_a_vendor_s_key_that_is_not_exported_is_not_set_inside_so_that_its_upstream_is_off(exported):
    shell = {"VLLM_API_KEY": "sk-z", **exported}
    inside = dict(handed_on(SERVICES["proxy"]["environment"], shell))
    unset = dict.fromkeys({"OPENAI_API_KEY", "ANTHROPIC_API_KEY"} - inside.keys())
    checked = CliRunner(env={**unset, **inside}).invoke(cli, ["check", str(TABLE)])
    assert checked.exit_code == 0, checked.output
    assert ("off openai" in checked.output, "off anthropic" in checked.output) == (not exported, True)


def handed_on(environment, shell):
    """What a container gets, by Compose's rules: no value stands for the shell's, if it has one."""
    for name, value in environment.items():
        if value is not None:
            yield name, re.sub(r"\$\{(\w+)[^}]*\}", lambda found: shell.get(found[1], ""), value)
        elif name in shell:
            yield name, shell[name]


def test_the_table_is_right_and_asks_vllm_for_the_model_that_it_serves():
    secrets = {"OPENAI_API_KEY": "sk-x", "ANTHROPIC_API_KEY": "sk-y", "VLLM_API_KEY": "sk-z"}
    checked = CliRunner(env=secrets).invoke(cli, ["check", str(TABLE)])
    assert checked.exit_code == 0, checked.output
    (served,) = (word for word in SERVICES["vllm"]["command"] if word.startswith("--served-model-name="))
    table = yaml.safe_load(TABLE.read_text())
    asked = {target for route in table["routes"] for target in route["targets"] if target.startswith("vllm/")}
    assert asked == {f"vllm/{served.partition('=')[2]}"}
    assert table["upstreams"]["vllm"]["base_url"] == "http://vllm:8000/v1"


def test_prometheus_scrapes_the_services_and_grafana_finds_prometheus():
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    targets = {each["job_name"]: each["static_configs"][0]["targets"] for each in scraped}
    assert targets == {"fallthrough": ["proxy:8082"], "vllm": ["vllm:8000"]}
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "fallthrough.yaml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
