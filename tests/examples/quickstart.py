"""`config/quickstart.yaml` served as `make run` does, but for its ports and where its ledger lies."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.kit.processes import VENDORS, House

ROOT = Path(__file__).parents[2]
FIRST_DEAD = ROOT / "config/scripts/first-dead.yaml"


@dataclass
class Quickstart(House):
    """A house whose table is the quickstart's; `table` is what its settings say of keys."""

    table: str = "auth: none"
    broken_by: Path | None = None
    """The script of its simulated upstreams; None: that of the folder."""

    def __post_init__(self) -> None:
        settings, self.table = self.table, ""
        super().__post_init__()
        text = (ROOT / "config/quickstart.yaml").read_text()
        changes = {
            "127.0.0.1:8080": f"127.0.0.1:{self.ports['proxy']}",
            "127.0.0.1:8081": f"127.0.0.1:{self.ports['admin']}",
            "127.0.0.1:8082": f"127.0.0.1:{self.ports['probes']}",
            "sqlite:///var/": f"sqlite:///{self.folder}/",
            "auth: none": settings,
        }
        for known, here in changes.items():
            assert text.count(known) == 1, known
            text = text.replace(known, here)
        self.config.write_text(text)
        self.options = ("--simulator-script", str(self.broken_by or self.folder / "script.yaml"))

    def environment(self) -> dict[str, str]:
        """What an example is told: where the proxy is, and its key where one is asked for."""
        known = {
            name: value
            for name, value in os.environ.items()
            if name not in VENDORS
            and not name.startswith(("FALLTHROUGH_", "OPENAI_", "LANGCHAIN_", "LANGSMITH_"))
        }
        return (
            known | {"FALLTHROUGH_URL": self.base_url} | ({"FALLTHROUGH_KEY": self.key} if self.key else {})
        )


@contextlib.contextmanager
def opened(folder: Path, **options) -> Iterator[Quickstart]:
    """The quickstart, serving; with a key of the tenant `acme` where keys are asked for."""
    built = Quickstart(folder, **options)
    try:
        if "auth: keys" in built.config.read_text():
            built.key = built.new_key("acme")
        built.serve()
        yield built
    finally:
        built.close()
