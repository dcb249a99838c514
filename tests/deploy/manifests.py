"""What a cluster would be given: the manifests as they lie there, and the chart as Helm renders it."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.deploy.judges import DEPLOY, Helm

CHART = DEPLOY / "helm" / "fallthrough"
RELEASES = ("1.34.0", "1.37.0")
"""Of Kubernetes, against which everything is judged."""

SETTINGS = {
    "as it is": {},
    "a ledger in a file": {
        "ledger": {"kind": "file", "file": {"size": "1Gi", "storageClass": "fast"}},
        "replicas": 1,
    },
    "everything said": {
        "image": {"repository": "images.internal/fallthrough", "tag": "2.0.0", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "podAnnotations": {},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "preference": {"matchExpressions": [{"key": "spot", "operator": "DoesNotExist"}]},
                    }
                ]
            }
        },
        "service": {"type": "LoadBalancer", "port": 80},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
    },
}
"""Ways to use the chart."""


def documents(text: str) -> list[dict]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def lying() -> dict[str, list[dict]]:
    """Every manifest by its name in `deploy/kubernetes`."""
    home = DEPLOY / "kubernetes"
    return {
        str(path.relative_to(home)): documents(path.read_text()) for path in sorted(home.glob("*/*.yaml"))
    }


def rendered(helm: Helm, values: dict) -> list[dict]:
    """The chart with these values on top of its own."""
    text = helm.tool("helm_template", release_name="gate", chart=str(CHART), values=values)
    return documents(text)


def pods(found: list[dict]) -> Iterator[dict]:
    """The specification of every pod that would run."""
    for document in found:
        if document["kind"] in {"Deployment", "StatefulSet"}:
            yield document["spec"]["template"]["spec"]


def tables(found: list[dict]) -> Iterator[str]:
    """The text of every table."""
    for document in found:
        if document["kind"] == "ConfigMap":
            yield document["data"]["proxy.yaml"]


def written(folder: Path, text: str) -> Path:
    """A table as a file of its own."""
    path = folder / "proxy.yaml"
    path.write_text(text)
    return path
