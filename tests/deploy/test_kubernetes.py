"""Manifests and chart: right by the schemas of Kubernetes, closed as far as can be, their tables right."""

from itertools import chain

import pytest
import yaml
from click.testing import CliRunner

from proxy import tracing
from proxy.cli import cli
from proxy.notify import webhook
from proxy.server.gate import LAST_WORDS_S
from proxy.server.listeners import CLOSING_S
from proxy.store.pace import Pace
from proxy.store.postgres import backing, lease, line, session
from proxy.store.postgres.database import CONNECT_S, STATEMENT_S
from tests.deploy.judges import HelmRefused, faults, helm, kubernetes
from tests.deploy.manifests import CHART, RELEASES, SETTINGS, lying, pods, rendered, tables, written

LYING = lying()
PRE_STOP_S, DRAIN_S = 5, 30
SECRETS = {"OPENAI_API_KEY": "sk-x", "ANTHROPIC_API_KEY": "sk-y", "PGPASSWORD": "z"}


@pytest.fixture(scope="module")
def chart():
    with helm() as asked:
        yield {name: rendered(asked, values) for name, values in SETTINGS.items()}


@pytest.fixture
def found(request):
    """The documents that a test is about: those of a file, or of the chart rendered in some way."""
    where, name = request.param
    return LYING[name] if where == "file" else request.getfixturevalue("chart")[name]


EVERYTHING = [("file", name) for name in LYING] + [("chart", name) for name in SETTINGS]
everything = pytest.mark.parametrize(
    "found", EVERYTHING, indirect=True, ids=lambda one: f"{one[0]}: {one[1]}"
)


@everything
@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_takes_every_document(found, release):
    assert found
    told = {document["kind"]: faults(kubernetes(release, document), document) for document in found}
    assert not [fault for kind in told for fault in told[kind]]


def test_the_judge_sees_what_is_wrong():
    (policy,) = LYING["gateway/poddisruptionbudget.yaml"]
    assert faults(kubernetes(RELEASES[0], policy), {**policy, "spec": {"maxUnavailble": 1}})


@everything
def test_every_container_is_closed_as_far_as_can_be(found):
    for pod in pods(found):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == context["fsGroup"] == 65532
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert not container["image"].endswith(":latest")
            assert ":" in container["image"]


def proxies(found):
    for pod in pods(found):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            if "fallthrough" in container["image"]:
                yield pod, container


@everything
def test_the_proxy_is_asked_on_its_probes_listener(found):
    for _, container in proxies(found):
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["probes"] == 8082
        asked = {
            probe: container[probe]["httpGet"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        }
        assert asked == {
            "startupProbe": {"path": "/readyz", "port": "probes"},
            "readinessProbe": {"path": "/readyz", "port": "probes"},
            "livenessProbe": {"path": "/healthz", "port": "probes"},
        }


@everything
def test_the_table_is_mounted_as_a_folder_so_that_an_edit_arrives(found):
    for pod, container in proxies(found):
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        table = mounts["/etc/fallthrough"]
        assert "subPath" not in table
        assert table["readOnly"] is True
        assert container["args"] == ["serve", "--config", "/etc/fallthrough/proxy.yaml"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert "configMap" in volumes[table["name"]]


def test_a_pod_has_time_for_its_drain_and_for_all_whom_it_must_tell_that_it_ends():
    """Each of them may be silent: callers, a database in the midst of a batch, a collector, a webhook."""
    calls = PRE_STOP_S + DRAIN_S + LAST_WORDS_S + CLOSING_S
    in_file = Pace().last_s
    keys = session.CLOSE_S + lease.PARTING_S + line.CLOSE_S  # closed after the ledger
    in_database = in_file + CONNECT_S + STATEMENT_S + backing.LEAVING_S + session.CLOSE_S + keys
    watchers = tracing.LAST_S + webhook.LAST_S
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert values["terminationGracePeriodSeconds"] >= calls + in_database + watchers
    for name, found in LYING.items():
        for pod in pods(found):
            ledger = in_file if name.startswith("sidecar/") else in_database
            assert pod["terminationGracePeriodSeconds"] >= calls + ledger + watchers


@everything
def test_every_table_is_right(found, tmp_path):
    for text in tables(found):
        checked = CliRunner(env=SECRETS).invoke(cli, ["check", str(written(tmp_path, text))])
        assert checked.exit_code == 0, checked.output


def test_the_sidecar_is_native_and_only_the_pod_itself_can_call_it():
    (pod,) = pods(LYING["sidecar/app.yaml"])
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    (app,) = pod["containers"]
    assert {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:8080/v1"} in app["env"]
    (text,) = tables(LYING["sidecar/configmap.yaml"])
    settings = yaml.safe_load(text)["settings"]
    assert (settings["listen"], settings["auth"]) == ("127.0.0.1:8080", "none")


def test_who_may_reach_whom_names_the_ports_that_are_there():
    (policy,) = LYING["gateway/networkpolicy.yaml"]
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for rule in spec["ingress"] for port in rule["ports"]] == [8080, 8082]
    out = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
    assert out == {53, 5432, 8000, 443}
    assert all(rule.get("from") for rule in spec["ingress"])
    assert all(rule.get("to") for rule in spec["egress"])


def test_whatever_chooses_pods_chooses_those_of_the_deployment():
    found = list(chain(*(documents for name, documents in LYING.items() if name.startswith("gateway/"))))
    kinds = {document["kind"]: document for document in found}
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for chosen in (
        kinds["Deployment"]["spec"]["selector"]["matchLabels"],
        kinds["Service"]["spec"]["selector"],
        kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert chosen.items() <= labels.items()


def test_helm_finds_no_fault_in_the_chart():
    with helm() as asked:
        told = yaml.safe_load(asked.tool("helm_lint", paths=[str(CHART)], strict=True))
    assert told["passed"] is True
    assert [one["message"] for one in told["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ledger": {"kind": "file"}, "replicas": 2}, "replicas must be 1"),
        ({"replica": 2}, "additional properties 'replica' not allowed"),
        ({"ledger": {"kind": "redis"}}, "ledger/kind"),
    ],
)
def test_the_chart_refuses_what_cannot_work(values, said):
    with helm() as asked, pytest.raises(HelmRefused, match=said):
        rendered(asked, values)


def test_the_chart_gives_what_it_is_told(chart):
    kinds = {name: {document["kind"] for document in found} for name, found in chart.items()}
    always = {"ConfigMap", "Deployment", "Service", "ServiceAccount"}
    assert kinds["as it is"] == always | {"NetworkPolicy", "PodDisruptionBudget"}
    assert kinds["a ledger in a file"] == kinds["as it is"] | {"PersistentVolumeClaim"}
    assert kinds["everything said"] == always
    (pod,) = pods(chart["everything said"])
    assert pod["containers"][0]["image"] == "images.internal/fallthrough:2.0.0"
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    (file,) = (document for document in chart["a ledger in a file"] if document["kind"] == "Deployment")
    assert file["spec"]["strategy"] == {"type": "Recreate"}
    mounts = file["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "ledger", "mountPath": "/var/lib/fallthrough"} in mounts


def test_chart_program_and_manifests_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (CHART.parents[2] / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project
    images = {container["image"] for found in LYING.values() for _, container in proxies(found)}
    assert images == {f"fallthrough:{chart['appVersion']}"}
