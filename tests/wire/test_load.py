"""What an engine tells of its load: where it is asked, which lines matter, what they mean."""

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from proxy.call import Load
from proxy.table import Secret
from proxy.wire import DIALECTS
from proxy.wire.load import GAUGES, asking, lines_of, load_of, samples_of
from tests.wire.samples import make_upstream

VLLM = GAUGES["vllm"]
RUNNING, WAITING, CACHE, OLD_CACHE = VLLM.names

TEXT = f"""\
# HELP {RUNNING} Requests under way.
# TYPE {RUNNING} gauge
{RUNNING}{{engine="0",model_name="m"}} 3.0
# TYPE {WAITING} gauge
{WAITING}{{engine="0",model_name="m"}} 7.0
vllm:num_requests_waiting_by_reason{{engine="0",reason="capacity"}} 7.0
vllm:request_success_total{{engine="0",finished_reason="stop"}} 9.0
python_gc_objects_collected_total{{generation="0"}} 1.0
{CACHE}{{engine="0",model_name="m"}} 0.25
"""


def test_each_engine_is_a_dialect_we_speak():
    assert GAUGES.keys() <= DIALECTS.keys()


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
        ("https://gpu.example/mixtral/v1", "https://gpu.example/mixtral"),
        ("https://gpu.example/openai", "https://gpu.example/openai"),
    ],
)
def test_the_server_itself_is_asked_beside_its_api(base_url, root):
    place, request = asking(replace(make_upstream(), base_url=base_url), VLLM)
    assert (place.base_url, request.method, request.path, request.body) == (root, "GET", "/metrics", b"")


def test_it_is_asked_with_the_credential_and_the_headers_that_calls_have():
    upstream = replace(make_upstream(), api_key=Secret("sk-1"), headers=(("X-Gate", "open"),))
    headers = dict(asking(upstream, VLLM)[1].headers)
    assert (headers["authorization"], headers["x-gate"]) == ("Bearer sk-1", "open")
    assert "authorization" not in dict(asking(replace(upstream, api_key=None), VLLM)[1].headers)


def test_only_the_lines_about_its_load_are_left_to_be_read():
    left = lines_of(VLLM, TEXT.encode() + b"\xff\xfe\n")
    assert [line.partition("{")[0] for line in left.splitlines()] == [
        RUNNING,
        WAITING,
        "vllm:num_requests_waiting_by_reason",
        CACHE,
    ]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("samples", "load"),
    [
        ([(RUNNING, 3.0), (WAITING, 7.0), (CACHE, 0.25)], Load(3, 7, 0.25)),
        ([(RUNNING, 3.0), (WAITING, 7.0)], Load(3, 7, None)),
        # older versions have another name for the cache, and some tell both
        ([(RUNNING, 0.0), (WAITING, 0.0), (OLD_CACHE, 1.0)], Load(0, 0, 1.0)),
        ([(RUNNING, 0.0), (WAITING, 0.0), (OLD_CACHE, 0.1), (CACHE, 0.9)], Load(0, 0, 0.9)),
        # several engines behind one address
        (
            [(RUNNING, 3.0), (RUNNING, 4.0), (WAITING, 1.0), (WAITING, 2.0), (CACHE, 0.5), (CACHE, 0.75)],
            Load(7, 3, 0.75),
        ),
        # a neighbour's name begins alike
        ([(RUNNING, 3.0), (f"{WAITING}_by_reason", 7.0)], None),
        ([(WAITING, 7.0)], None),
        ([], None),
        ([(RUNNING, 3.0), (WAITING, NAN)], None),
        ([(RUNNING, 3.0), (WAITING, INF)], None),
        ([(RUNNING, 3.0), (WAITING, -1.0)], None),
        ([(RUNNING, 3.0), (WAITING, 7.0), (CACHE, NAN)], Load(3, 7, None)),
        ([(RUNNING, 3.0), (WAITING, 7.0), (CACHE, 85.0)], Load(3, 7, None)),
    ],
)
def test_what_the_samples_say(samples, load):
    assert load_of(VLLM, samples) == load


@pytest.mark.parametrize(
    "line",
    [
        "a:b_c 1.5",
        "a 1e3 1700000000000",
        "a +Inf",
        "a{} 1",
        'a{x="1",y="2"} -3',
        'a{x="} 7 \\" {",y="\\\\"} 4.0',
        'a{ x="1" , }   5',
    ],
)
def test_a_line_says_what_the_library_reads_in_it(line):
    samples = [each for one in text_string_to_metric_families(line + "\n") for each in one.samples]
    assert list(samples_of(line)) == [(each.name, each.value) for each in samples]


@pytest.mark.parametrize("line", ["", "a", "a b", "a{ 1", 'a{x="1 2', "1 2", 'a{x="1"}', "a 1 2 3", "<html>"])
def test_a_line_that_says_nothing_is_refused(line):
    with pytest.raises(ValueError, match=r"no sample|could not convert"):
        list(samples_of(f"{line}\n"))


def test_figures_whose_sum_is_beyond_all_numbers_are_none():
    huge = [(VLLM.running, 1e308), (VLLM.running, 1e308), (VLLM.waiting, 0.0)]
    assert load_of(VLLM, huge) is None


def test_more_lines_than_any_engine_has_are_not_read():
    line = f'{VLLM.waiting}{{engine="%d"}} 0\n'
    assert lines_of(VLLM, "".join(line % number for number in range(5000)).encode()) == ""
