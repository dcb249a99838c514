"""What a simulated engine tells of its load: the text of its `/metrics`, as vLLM words it.

Used by `server.py`. The figures are the script's; what it leaves out is as on an engine that keeps up:
every call that is being played runs, none waits.
"""

from proxy.simulator.script import Busy

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FAMILIES = (
    ("vllm:num_requests_running", "Requests under way."),
    ("vllm:num_requests_waiting", "Requests that wait."),
    ("vllm:kv_cache_usage_perc", "Part of the cache in use, up to 1."),
)


def text(name: str, busy: Busy, live: int) -> str:
    """The exposition of the upstream `name`, of which `live` calls are being played."""
    values = (live if busy.running is None else busy.running, busy.waiting, busy.cache)
    lines = []
    for (family, about), value in zip(_FAMILIES, values, strict=True):
        lines += [f"# HELP {family} {about}", f"# TYPE {family} gauge"]
        lines.append(f'{family}{{engine="0",model_name="{name}-model"}} {float(value)}')
    # A neighbour whose name begins like one of those: whoever reads must not take it for that.
    lines.append(f'vllm:num_requests_waiting_by_reason{{engine="0",reason="capacity"}} {float(busy.waiting)}')
    return "\n".join(lines) + "\n"
