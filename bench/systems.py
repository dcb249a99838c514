"""What is measured: the mock itself, nginx in front of it, and this proxy in front of it.

Each system is a context manager that yields a `System` which already answers. Used by `__main__.py`.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BUILD, HERE, LOAD_CORE, PROXY_CORE, Missing, on_core, serving

MOCK_PORT = 18080
NGINX_PORT = 18081
PROXY_PORT = 18082

NGINX = f"""
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  keepalive_requests 100000000;
  client_body_buffer_size 64k;
  upstream mock {{ server 127.0.0.1:{MOCK_PORT}; keepalive 2048; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{NGINX_PORT};
    tcp_nodelay on;
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""

PROXY = f"""
settings:
  listen: 127.0.0.1:{PROXY_PORT}
  admin: "off"
  probes: "off"
  ledger: sqlite:///ledger.db
  auth: keys
upstreams:
  mock:
    dialect: openai
    base_url: http://127.0.0.1:{MOCK_PORT}/v1
    api_key: not-a-secret
routes:
  - model: mock-model
    targets: [mock/mock-model]
prices:
  mock/*: {{input: 0.15, output: 0.6}}
limits:
  - {{per: tenant, tokens: 1_000_000_000_000, every: month}}
"""


@dataclass(frozen=True, slots=True)
class System:
    """Something that answers chat completions."""

    name: str
    port: int
    key: str = "not-a-key"
    pid: int = 0
    """0: its processor time is not asked for."""
    start_s: float | None = None
    """From the command to the first 200."""
    headers: tuple[str, ...] = ()
    """Further lines of every request."""


@contextmanager
def mock() -> Iterator[System]:
    """The upstream behind all the others; measured itself, it is the direct call."""
    log = BUILD / "mock.log"
    command = on_core(LOAD_CORE, [str(BUILD / "mock"), str(MOCK_PORT)])
    with serving(command, MOCK_PORT, "/v1/models", log) as (pid, _):
        yield System("direct", MOCK_PORT, pid=pid)


@contextmanager
def nginx() -> Iterator[System]:
    """The yardstick: a C proxy that parses, checks, meters and writes down nothing."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise Missing("nginx is not installed; on Debian: apt-get install nginx-light")
    room = fresh("nginx")
    (room / "nginx.conf").write_text(NGINX)
    log = BUILD / "nginx.log"
    command = on_core(PROXY_CORE, [program, "-p", str(room), "-c", str(room / "nginx.conf")])
    with serving(command, NGINX_PORT, "/v1/models", log, cwd=room) as (pid, start_s):
        yield System("nginx", NGINX_PORT, pid=pid, start_s=start_s)


@contextmanager
def fallthrough() -> Iterator[System]:
    """This proxy as an operator runs it: keys, a limit, prices, and a ledger on disk."""
    with served("fallthrough", PROXY) as system:
        yield system


@contextmanager
def served(name: str, config_text: str, *options: str) -> Iterator[System]:
    """This proxy with a configuration of its own."""
    room = fresh(name)
    config = room / "proxy.yaml"
    config.write_text(config_text)
    compiled()
    program = str(Path(sys.executable).with_name("fallthrough"))
    log = BUILD / f"{name}.log"
    key = new_key(program, config)
    command = on_core(PROXY_CORE, [program, "serve", "--config", str(config), *options])
    with serving(command, PROXY_PORT, "/healthz", log, cwd=room) as (pid, start_s):
        yield System(name, PROXY_PORT, key=key, pid=pid, start_s=start_s)


def compiled() -> None:
    """Compile this proxy, as whatever installs it does: else a start may be that of a compiler."""
    command = [sys.executable, "-m", "compileall", "-q", str(HERE.parent / "proxy")]
    subprocess.run(command, check=True)


def new_key(program: str, config: Path) -> str:
    """A caller's key from the command line, as an operator makes one."""
    command = [program, "keys", "--config", str(config), "create", "--tenant", "bench"]
    made = subprocess.run(command, cwd=config.parent, capture_output=True, text=True, check=False)
    found = re.search(r"\bft-[0-9A-Za-z_-]+", made.stdout)
    if made.returncode or found is None:
        raise Missing(f"`fallthrough keys create` gave no key:\n{made.stdout}{made.stderr}")
    return found[0]


def fresh(name: str) -> Path:
    """An empty folder to work in."""
    room = BUILD / name
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True)
    return room
