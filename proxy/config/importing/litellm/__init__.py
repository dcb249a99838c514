"""A LiteLLM `config.yaml` → a table that does the same.

`sheet.py` is the file with its lines, `rules.py` reads what it says of everything, `deployments.py` makes
upstreams of its deployments and `routes.py` routes of its model names.
"""

from proxy.config.importing.litellm.deployments import Deployments
from proxy.config.importing.litellm.routes import draw
from proxy.config.importing.litellm.rules import Rules
from proxy.config.importing.litellm.sheet import Sheet
from proxy.config.importing.proof import finish
from proxy.config.importing.sketch import Imported

__all__ = ["from_litellm"]


def from_litellm(file: str, data: bytes) -> Imported:
    """The table that the file amounts to. Raises `ConfigError` or `NothingToImport`."""
    sheet = Sheet.read(file, data)
    rules = Rules.read(sheet)
    deployments = Deployments(sheet, rules)
    deployments.read()
    draw(sheet, rules, deployments)
    sheet.sketch.left(
        file, "keys, teams and budgets in LiteLLM's database are not in this file; make keys anew"
    )
    return finish(sheet.sketch)
