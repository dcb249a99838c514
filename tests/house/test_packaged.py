"""Whatever lies beside the code and is read when it runs is named in the package: no wheel lacks it."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNREAD = {"README.md"}


def test_every_file_beside_the_code_is_packaged():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = told["tool"]["setuptools"]["package-data"]["proxy"]
    package = ROOT / "proxy"
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    beside = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"} and path.name not in UNREAD
    }
    assert {path.suffix for path in beside} >= {".html", ".css", ".js", ".sql"}
    assert beside <= packaged
