"""A recipe as people run it: the file as it is, its variables set to simulated upstreams.

Each upstream of a recipe is simulated under its own name, so that a script can have it fail.
"""

import contextlib
import json
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import apsw
from openai import OpenAI

from tests.kit.processes import House, eventually

RECIPES = Path(__file__).parents[2] / "config/recipes"
ASK = [{"role": "user", "content": "canary-prompt"}]
KEY = "sk-canary-upstream"

PATHS: Mapping[str, str] = MappingProxyType(
    {
        "OPENAI_BASE_URL": "openai/v1",
        "ANTHROPIC_BASE_URL": "anthropic",
        "GEMINI_BASE_URL": "gemini/v1",
        "DEEPSEEK_BASE_URL": "deepseek/v1",
        "VLLM_URL": "vllm/v1",
        "MIXTRAL_URL": "vllm-mixtral/v1",
        "MISTRAL_URL": "vllm-mistral/v1",
        "LLAMA_URL": "vllm-llama/v1",
    }
)
"""Where the simulator plays whom the variable of a recipe points at."""
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "DEEPSEEK_API_KEY")


@dataclass
class Recipe(House):
    """A house whose table is a recipe; `table` is its name."""

    def __post_init__(self) -> None:
        recipe = (RECIPES / f"{self.table}.yaml").read_text()
        self.table = ""
        super().__post_init__()
        simulator = f"http://127.0.0.1:{self.ports['simulator']}"
        self.variables = {
            "FALLTHROUGH_LISTEN": f"127.0.0.1:{self.ports['proxy']}",
            "FALLTHROUGH_ADMIN": f"127.0.0.1:{self.ports['admin']}",
            "FALLTHROUGH_PROBES": f"127.0.0.1:{self.ports['probes']}",
            "FALLTHROUGH_LEDGER": f"sqlite:///{self.folder}/ledger.db",
            **{name: f"{simulator}/{path}" for name, path in PATHS.items()},
            **dict.fromkeys(KEYS, KEY),
        }
        self.config.write_text(recipe)

    def client(self, key: str | None = None) -> OpenAI:
        """The official SDK, without retries of its own."""
        return OpenAI(base_url=self.base_url, api_key=key or self.key, max_retries=0)

    def command(self, *words: str) -> str:
        """`fallthrough GROUP COMMAND --config FILE WORDS…`."""
        return self.run(*words, "--config", str(self.config))

    def rows(self, sql: str) -> list[tuple]:
        """What the ledger holds."""
        path, flags = str(self.folder / "ledger.db"), apsw.SQLITE_OPEN_READONLY
        with contextlib.closing(apsw.Connection(path, flags=flags)) as ledger:
            return ledger.execute(sql).fetchall()

    def settled(self) -> None:
        """Wait until no call is open in the ledger."""
        eventually(lambda: self.rows("SELECT count(*) FROM open_calls") == [(0,)])

    def attempts(self) -> list[tuple[str, str]]:
        """Who was tried for the last call, and what came of it."""
        self.settled()
        sql = "SELECT attempts FROM rows WHERE attempts IS NOT NULL ORDER BY seq DESC LIMIT 1"
        [(attempts,)] = self.rows(sql)
        return [(each["upstream"], each["result"]) for each in json.loads(attempts)]

    def afresh(self) -> None:
        """The proxy again, with nothing known of how its upstreams are."""
        self.kill("proxy", how=signal.SIGTERM)
        self.serve()

    def traces(self, *needles: str) -> list[tuple[str, str]]:
        """Every file of the house, logs included, that any of these stands in."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name != "simulator.log"]
        assert {"ledger.db", "keys.db", "proxy.log"} <= {path.name for path in files}
        return [(path.name, each) for path in files for each in needles if each.encode() in path.read_bytes()]


@contextlib.contextmanager
def cooked(name: str, folder: Path) -> Iterator[Recipe]:
    """The recipe served, with simulated upstreams and one key for the tenant `acme`."""
    built = Recipe(folder, table=name)
    try:
        built.key = built.new_key("acme")
        built.simulate()
        built.serve()
        yield built
    finally:
        built.close()


def said(answer) -> str:
    """The words of an answer."""
    return answer.choices[0].message.content


def answered_by(raw) -> str:
    """Who answered, by the header."""
    return raw.headers["x-fallthrough-upstream"]
