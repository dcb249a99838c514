"""What documents, alerts and board say of the metrics is what a running proxy shows."""

import json
import re
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import promql_parser
import pytest
import yaml

from proxy.errors import ErrorType
from proxy.metrics.observer import ATTEMPT_ERRORS
from tests.deploy.conftest import ask as call
from tests.deploy.judges import DEPLOY, ROOT, TOOLS, needed, passes
from tests.kit.processes import eventually

pytestmark = pytest.mark.timeout(180)  # several processes are started, on machines that are busy

PROMETHEUS = DEPLOY / "prometheus"
BOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "fallthrough.json").read_text())
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
QUERIES = {
    f"{panel['title']}: {target['refId']}": target["expr"]
    for panel in BOARD["panels"]
    for target in panel.get("targets", ())
}
PROMETHEUS_OWN = {"up": {"job", "instance"}}
OF_EVERY_TARGET = {"job", "instance"}
SUFFIXES = ("_total", "_bucket", "_count", "_sum", "_created")


def plain(query):
    """A board's query as Prometheus gets it."""
    return query.replace("$__rate_interval", "1m").replace("$model", ".+")


EXPRESSIONS = {f"alert {rule['alert']}": rule["expr"] for rule in RULES}
EXPRESSIONS |= {f"board {name}": plain(query) for name, query in QUERIES.items()}


def selectors(node):
    """Every selector of a parsed query, with the labels it is grouped by."""
    found = []

    def look(node, grouped):
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node, grouped))
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped = grouped | set(node.modifier.labels)
        for name in ("expr", "lhs", "rhs", "vector_selector", "vs", "args", "param"):
            inner = getattr(node, name, None)
            for each in inner if isinstance(inner, list) else [inner]:
                if each is not None and not isinstance(each, str):
                    look(each, grouped)

    look(node, frozenset())
    return found


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_what_a_query_names_is_there(name, scrape):
    asked = selectors(promql_parser.parse(EXPRESSIONS[name]))
    assert asked, "a query that asks for nothing"
    there = scrape.samples | PROMETHEUS_OWN
    for selector, grouped in asked:
        assert selector.name in there
        labels = {matcher.name for matcher in selector.matchers.matchers} | set(grouped)
        assert labels - {"le"} <= there[selector.name] | OF_EVERY_TARGET, selector.name


def test_a_limit_that_refuses_its_calls_is_high_enough_for_its_alert(scrape):
    """FallthroughQuota100 asks for it, and what granted calls find used never is."""
    (found,) = (family for family in scrape.families if family.name == "fallthrough_limit_used_ratio")
    assert {sample.value for sample in found.samples if "other" in sample.labels["scope"]} == {1.0}


def test_the_document_names_every_metric_with_its_labels_and_no_other(scrape):
    text = (ROOT / "docs" / "operating.md").read_text()
    rows = re.findall(r"^\| `((?:fallthrough|gen_ai)_\w+)` \| ([\w, ]*)\|", text, re.MULTILINE)
    documented = {name: set(filter(None, labels.strip().split(", "))) for name, labels in rows}
    shown = {}
    for family in scrape.families:
        if family.name.endswith("_created"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.samples, f"{name} was never counted, so that its labels cannot be seen"
        shown[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    assert shown == documented


def test_every_word_for_an_error_is_in_the_document():
    text = (ROOT / "docs" / "operating.md").read_text() + (ROOT / "docs" / "faults.md").read_text()
    missing = {word for word in {*ErrorType, *ATTEMPT_ERRORS} if f"`{word}`" not in text}
    assert not missing


def test_promtool_finds_no_fault_in_rules_and_configuration():
    passes("promtool", "check", "rules", PROMETHEUS / "alerts.yaml")
    passes("promtool", "check", "config", PROMETHEUS / "prometheus.yaml")


def test_each_alert_fires_when_it_should_and_not_before():
    passes("promtool", "test", "rules", PROMETHEUS / "alerts.test.yaml")
    tested = (PROMETHEUS / "alerts.test.yaml").read_text()
    assert not [rule["alert"] for rule in RULES if f"alertname: {rule['alert']}" not in tested]


def test_each_alert_says_how_grave_it_is_and_what_it_means():
    for rule in RULES:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_board_can_be_loaded_and_no_panel_hides_another():
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    sources = {
        target["datasource"]["uid"] for panel in BOARD["panels"] for target in panel.get("targets", ())
    }
    assert sources == {"${datasource}"}


@pytest.fixture
def prometheus(scrape, tmp_path):
    """A real Prometheus with our configuration, that scrapes the proxy often; asks it."""
    given = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
    given["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    given["rule_files"] = [str(PROMETHEUS / "alerts.yaml")]
    given["scrape_configs"] = given["scrape_configs"][:1]
    address = f"127.0.0.1:{scrape.house.ports['probes']}"
    given["scrape_configs"][0]["static_configs"] = [{"targets": [address]}]
    config = tmp_path / "prometheus.yaml"
    config.write_text(yaml.safe_dump(given))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = (f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}")
    program = needed(TOOLS / "bin" / "prometheus")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )

    def ask(path, **parameters):
        url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            if refused.code != 503:  # it is starting still
                raise AssertionError(refused.read().decode()) from None
            return None
        except OSError:
            return None

    try:
        yield ask
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_a_real_prometheus_scrapes_the_proxy_and_answers_every_query(scrape, prometheus):
    """Rates need two scrapes between which something happened, so calls go on meanwhile."""
    left = set(QUERIES)

    def answered(name):
        data = prometheus("query", query=plain(QUERIES[name]))
        return data is not None and data["result"]

    def all_answered():
        call(scrape.house, scrape.house.key, stream=True)
        left.difference_update({name for name in left if answered(name)})
        return not left

    eventually(all_answered, 60)
    told = [rule for group in prometheus("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in told} == {rule["alert"] for rule in RULES}
    assert not [rule for rule in told if rule.get("lastError")]
