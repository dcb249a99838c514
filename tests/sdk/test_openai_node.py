"""The official Node SDK over a real port: whole, streamed, helper, models, errors, a broken stream."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def node_client(tmp_path_factory):
    """The client script beside an installed SDK; skipped where Node or its registry cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(HERE / name, folder / name)
    words = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm could not install the SDK: {done.stderr.strip()[-200:]}")
    return folder / "client.mjs"


@pytest.mark.timeout(300)
def test_the_node_sdk_sees_what_it_would_see_from_openai(node_client, healthy):
    healthy.script("vllm: [{do: {cut: 4}}]")
    words = ["node", str(node_client), healthy.base_url, healthy.key]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["whole"]
    assert seen["streamed"] == seen["helper"] == seen["whole"]
    assert seen["requestId"].startswith("req_")
    assert seen["total"] > 0
    assert set(seen["models"]) == {"chat", "only-vllm", "checked"}
    error = seen["error"]
    assert (error["name"], error["status"], error["code"]) == ("NotFoundError", 404, "model_not_found")
    assert error["id"].startswith("req_")
    assert seen["partial"]
    assert seen["broken"] == {"isApiError": True, "code": "upstream_broken"}
