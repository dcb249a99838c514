"""One proxy for each file here, with the recipe that the file is named after."""

import pytest

from tests.recipes.cooking import cooked


@pytest.fixture(scope="module")
def served(request, tmp_path_factory):
    """The recipe, served for all tests of its file: tests of one name people and tenants of their own."""
    name = request.path.stem.removeprefix("test_").replace("_", "-")
    with cooked(name, tmp_path_factory.mktemp(name)) as opened:
        yield opened


@pytest.fixture
def built(served):
    """The same, with every upstream well."""
    served.script("{}")
    return served
