"""The second verifiers under `tools/`, loaded as an auditor's programs: they share nothing with the house."""

import importlib.util
from pathlib import Path
from types import ModuleType

from proxy.place import Database, Place

TOOLS = Path(__file__).parents[2] / "tools"


def second_verifier(name: str = "verify_ledger") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def address(place: Place) -> str:
    """A ledger as their command lines name it."""
    return place.url if isinstance(place, Database) else str(place)
