"""The sidecar's table, laid into a folder as a kubelet lays a ConfigMap, under a running proxy."""

import signal

import pytest

from tests.deploy.manifests import lying, tables
from tests.kit.processes import House, eventually


class Mounted(House):
    """A proxy whose table lies behind two symlinks, of which the kubelet swaps the inner one."""

    @property
    def config(self):
        return self.folder / "mounted" / "proxy.yaml"

    def lay(self, name, text):
        """Bring a version of the ConfigMap, as a kubelet does: a new folder, then one rename."""
        mounted = self.folder / "mounted"
        (mounted / f"..{name}").mkdir()
        (mounted / f"..{name}" / "proxy.yaml").write_text(text)
        (mounted / "..data_tmp").symlink_to(f"..{name}")
        (mounted / "..data_tmp").rename(mounted / "..data")


@pytest.fixture
def text():
    (found,) = tables(lying()["sidecar/configmap.yaml"])
    return found


@pytest.fixture
def mounted(tmp_path):
    folder = tmp_path / "mounted"
    folder.mkdir()
    built = Mounted(tmp_path, table="")
    built.config.unlink()
    built.config.symlink_to("..data/proxy.yaml")
    yield built
    built.close()


def placed(text, built):
    """The table as it lies in the manifest, but for where it listens and writes."""
    for port, name in (("127.0.0.1:8080", "proxy"), ("0.0.0.0:8082", "probes")):
        assert text.count(port) == 1
        text = text.replace(port, f"127.0.0.1:{built.ports[name]}")
    assert text.count("/var/lib/fallthrough") == 1
    return text.replace("/var/lib/fallthrough", str(built.folder))


def reloads(built, result):
    return f'fallthrough_table_reloads_total{{result="{result}"}} 1.0' in built.get("probes", "/metrics")[1]


def test_an_edited_configmap_is_in_force_and_a_faulty_one_is_refused(mounted, text):
    table = placed(text, mounted).replace("${OPENAI_API_KEY}", "sk-x")
    mounted.lay("one", table)
    mounted.serve()
    assert '"gpt-9"' not in mounted.get("proxy", "/v1/models")[1]
    mounted.lay("two", table.replace('model: "*"', "model: gpt-9"))
    eventually(lambda: reloads(mounted, "taken"))
    assert '"gpt-9"' in mounted.get("proxy", "/v1/models")[1]
    mounted.lay("three", table.replace("routes:", "rutes:"))
    eventually(lambda: reloads(mounted, "refused"))
    assert '"gpt-9"' in mounted.get("proxy", "/v1/models")[1]
    assert mounted.get("probes", "/readyz")[0] == 200
    assert mounted.kill("proxy", signal.SIGTERM) == 0
