"""What is written about scripts is so."""

import re
from pathlib import Path

from proxy.cli.rehearse import rehearse_command
from proxy.config import load_without_keys
from proxy.rehearsal import grammar
from proxy.rehearsal.grammar import WORDS
from proxy.rehearsal.script import Draft

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rehearsing.md").read_text()
TABLE = load_without_keys(ROOT / "config" / "proxy.yaml", {}).table


def fitted(text, folder):
    path = folder / "script.yaml"
    path.write_text(text)
    return Draft.read(path).fitted(TABLE)


def example():
    return re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_page_s_script_can_be_played(tmp_path):
    assert len(fitted(example(), tmp_path).acts) == 3


def test_the_page_names_every_key_of_a_script():
    for part in (
        grammar.ScriptFile,
        grammar.LoadPart,
        grammar.HealthyPart,
        grammar.ActPart,
        grammar.ExpectPart,
    ):
        for name, field in part.model_fields.items():
            assert re.search(rf"\b{field.alias or name}\b", example()), f"{part.__name__}.{name}"


def test_the_page_says_what_every_word_means():
    said = {
        word
        for line in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
        for word in re.findall(r"`(\w+)`", line)
    }
    assert said >= WORDS.keys()


def test_what_the_page_says_of_defaults_is_so(tmp_path):
    assert fitted(example(), tmp_path).healthy["*"] == grammar.HealthyPart()


def test_the_help_s_script_can_be_played(tmp_path):
    text = re.search(r"A script:\n(.*?)\n\n", rehearse_command.help, re.DOTALL)[1]
    assert fitted(text, tmp_path).expect.added


def test_the_page_lists_every_script_that_is_shipped():
    for path in (ROOT / "config" / "rehearsals").glob("*.yaml"):
        assert f"| `{path.stem}` |" in PAGE
