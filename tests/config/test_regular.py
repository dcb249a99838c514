"""What is opened is a file: nobody waits for the other end of a pipe."""

import os
import socket

import pytest

from proxy.config import ConfigError, load
from proxy.config.regular import read_regular

TABLE = "upstreams: {a: {api_key: x}}\nroutes: [{model: m, targets: [a/x]}]\n"


def pipe(path):
    os.mkfifo(path)


def directory(path):
    path.mkdir()


def listener(path):
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))


def device(path):
    path.symlink_to("/dev/null")


ODD = pytest.mark.parametrize("make", [pipe, directory, listener, device])


@ODD
def test_a_table_that_is_no_file_is_a_fault_at_once(tmp_path, make, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    path = tmp_path / "t"
    make(path)
    with pytest.raises(ConfigError, match="the file cannot be read"):
        load(path, {})
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="the file cannot be read"):
        load(link, {})


@ODD
def test_a_secret_that_is_no_file_is_a_fault_at_once(tmp_path, make):
    path, table = tmp_path / "s", tmp_path / "t.yaml"
    make(path)
    table.write_text(TABLE.replace("x}", f'"${{file:{path}}}"}}'))
    with pytest.raises(ConfigError, match=r"the file of \$\{file:…\} is not a regular file"):
        load(table, {})


def test_a_pipe_with_somebody_at_the_other_end_is_no_table_either(tmp_path):
    path = tmp_path / "t"
    pipe(path)
    with os.fdopen(os.open(path, os.O_RDWR), "wb", buffering=0) as other:
        other.write(TABLE.encode())
        with pytest.raises(ConfigError, match="it is not a regular file"):
            load(path, {})


def test_a_file_behind_links_is_read_as_far_as_it_is_wanted(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/t.yaml").write_text(TABLE)
    (tmp_path / "..data").symlink_to("data")
    (tmp_path / "t.yaml").symlink_to("..data/t.yaml")
    assert read_regular(tmp_path / "t.yaml", 9) == TABLE[:9].encode()
    assert load(tmp_path / "t.yaml", {}).table.routes
