"""One bad file per mistake: `bad/NAME.yaml`, and every fault it must give in `bad/NAME.expected`."""

import inspect
from pathlib import Path

import pytest

from proxy.config import ConfigError, load

BAD = Path(__file__).parent / "bad"
ENVIRON = {"KEY": "sk-secret-value", "EMPTY": ""}


@pytest.mark.fault("d9-faulty")
@pytest.mark.parametrize("name", sorted(path.stem for path in BAD.glob("*.yaml")))
def test_every_fault_is_told_at_once_with_its_place_and_remedy(name, monkeypatch):
    monkeypatch.chdir(BAD)
    with pytest.raises(ConfigError) as caught:
        load(Path(f"{name}.yaml"), ENVIRON)
    assert f"{caught.value}\n" == (BAD / f"{name}.expected").read_text()
    assert "sk-secret-value" not in str(caught.value)


def test_every_bad_file_has_its_expectation():
    assert {path.stem for path in BAD.glob("*.yaml")} == {path.stem for path in BAD.glob("*.expected")}


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml", {})


@pytest.mark.fault("d9-faulty")
def test_a_file_over_the_cap_is_not_read(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"# " + b"x" * (1024 * 1024))
    with pytest.raises(ConfigError, match="larger than 1024 KiB"):
        load(path, {})


def test_bytes_that_are_not_utf8_are_a_fault(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"settings: {listen: \xff}\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path, {})


@pytest.mark.parametrize("written", ["a: b\x07", "a: b\x00"], ids=["a bell", "nothing"])
def test_characters_that_yaml_does_not_know_are_a_fault(tmp_path, written):
    path = tmp_path / "loud.yaml"
    path.write_text(written)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    words = "this is not YAML: it holds characters that may not stand there; retype it"
    assert str(caught.value) == f"{path}: {words}"


@pytest.mark.parametrize("source", [None, "class Cut(", "x = 1\n"], ids=["gone", "cut", "another's"])
def test_a_missing_key_is_told_where_the_program_has_no_source_to_read_its_meaning_in(source, monkeypatch):
    def getsource(_):
        if source is None:
            raise OSError("could not get source code")
        return source

    monkeypatch.setattr(inspect, "getsource", getsource)
    monkeypatch.chdir(BAD)
    with pytest.raises(ConfigError, match=r"this key is missing; write `routes: …` \(a value\)"):
        load(Path("missing-routes.yaml"), ENVIRON)
