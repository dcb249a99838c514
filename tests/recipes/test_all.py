"""Every recipe: a page, a test, a file that passes the check, and variables that the page names."""

import re
from pathlib import Path

import pytest

from proxy.config import load
from tests.recipes.cooking import KEYS, PATHS, RECIPES

ROOT = RECIPES.parents[1]
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
SETTINGS = {"FALLTHROUGH_LISTEN", "FALLTHROUGH_ADMIN", "FALLTHROUGH_PROBES", "FALLTHROUGH_LEDGER"}


PAGES = sorted(path.stem for path in (ROOT / "docs/recipes").glob("*.md") if path.stem != "README")


def test_each_recipe_has_a_page_and_a_test_and_no_page_is_without_one():
    assert PAGES == NAMES
    tests = {path.name for path in Path(__file__).parent.iterdir()}
    assert {f"test_{name.replace('-', '_')}.py" for name in NAMES} < tests


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_has_no_fault_and_all_of_its_upstreams_are_on(name):
    environ = {**dict.fromkeys(PATHS, "http://127.0.0.1:1/v1"), **dict.fromkeys(KEYS, "k")}
    loaded = load(RECIPES / f"{name}.yaml", environ)
    assert not loaded.notices
    assert loaded.settings.auth == "keys"


@pytest.mark.parametrize("name", NAMES)
def test_the_page_names_every_variable_of_the_recipe_and_the_recipe_its_page(name):
    recipe, page = (RECIPES / f"{name}.yaml").read_text(), (ROOT / f"docs/recipes/{name}.md").read_text()
    assert f"docs/recipes/{name}.md" in recipe
    assert f"config/recipes/{name}.yaml" in page
    read = set(re.findall(r"\$\{([A-Z_]+)", recipe)) - SETTINGS
    assert not {variable for variable in read if f"`{variable}`" not in page}


def test_the_list_of_recipes_is_whole():
    listed = (ROOT / "docs/recipes/README.md").read_text()
    assert all(f"({name}.md)" in listed for name in NAMES)
