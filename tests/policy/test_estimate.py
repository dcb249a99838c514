"""Upper bounds on what a call can use."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.abilities import Media, ModelFacts
from proxy.call import Call, Identity
from proxy.policy.estimate import estimate, unreported_bytes
from proxy.policy.prompt import Prompt
from proxy.table import Route, Target

ROUTE = Route("chat", (), max_output_tokens=4096)


def call(body, size=100):
    return Call("req_1", 0, Identity("acme", "key_1"), "chat", body, size, stream=False, include_usage=False)


def most(said, route):
    return estimate(said, route, Prompt.of(said.body))


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({}, 4096),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20}, 20),
        ({"max_tokens": 10, "max_completion_tokens": 20}, 20),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"n": 3}, 3 * 4096),
        ({"n": None, "max_tokens": None}, 4096),
        ({"n": 0, "max_tokens": 0}, 4096),
        ({"n": -2, "max_tokens": -5}, 4096),
        ({"n": [2], "max_tokens": True}, 4096),
        ({"max_tokens": 1e5}, 100_000),
        ({"max_tokens": 10.5}, 11),
        ({"n": "2", "max_tokens": "100_000"}, 200_000),
        ({"max_tokens": "lots"}, 4096),
        ({"max_tokens": float("nan")}, 4096),
        ({"max_tokens": float("inf")}, 4096),
        ({"n": 2**62, "max_tokens": 2**62}, 10**12),
    ],
)
def test_output_is_bound_by_the_caller_or_the_route_for_each_choice(body, output):
    assert most(call(body), ROUTE).output_tokens == output


def test_a_routes_default_maximum_counts():
    route = replace(ROUTE, defaults={"max_tokens": 7, "n": 2})
    assert most(call({}), route).output_tokens == 14
    assert most(call({"max_tokens": 9, "n": 1}), route).output_tokens == 9


@settings(deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=200), max_size=20))
def test_input_is_bound_by_the_bytes_and_what_templates_add(texts):
    messages = [{"role": "user", "content": text} for text in texts]
    size = sum(len(text.encode()) for text in texts)
    found = most(call({"messages": messages}, size), ROUTE)
    assert found.input_tokens >= size + 8 * len(messages)
    assert found.total == found.input_tokens + found.output_tokens


def saying(*parts):
    return call({"messages": [{"role": "user", "content": list(parts)}]})


BARE = most(saying({"type": "text", "text": "x"}), ROUTE).input_tokens
URL = {"url": "https://x/y.png"}
PICTURE = {"type": "image_url", "image_url": URL}
PDF = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}}


def route(*medias, **facts):
    known = ModelFacts(**facts)
    return replace(ROUTE, targets=tuple(Target("u", "m", media=media, facts=known) for media in medias))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
        {"text": "x"},
        {"type": None, "text": "x"},
        {"type": "refusal", "refusal": "x"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:text/csv;base64,YSxi", "filename": "a.csv"}},
        {"type": "file", "file": {"file_data": "DATA:TEXT/plain,hello"}},
    ],
    ids=str,
)
def test_text_and_sound_are_bound_by_their_bytes(part):
    assert most(saying(part), ROUTE).input_tokens == BARE


@pytest.mark.parametrize(
    "part",
    [
        PICTURE,
        {"image_url": URL},
        {**PICTURE, "cache_control": {}},
        {"image_url": URL, "detail": "low"},
        {"image_url": URL, "detail": "low", "uuid": "u"},
    ],
    ids=str,
)
def test_a_picture_is_bound_by_what_the_dearest_target_counts_for_one(part):
    two = route(Media(1445, 128_000), Media(48_169, 128_000))
    assert most(saying(part), two).input_tokens == BARE + 48_169
    assert most(saying(part, part), two).input_tokens >= BARE + 2 * 48_169
    assert most(saying(part), route(Media())).input_tokens == BARE + 50_000


def test_pictures_cannot_be_more_than_a_model_reads():
    many = most(saying(*[PICTURE] * 100), route(Media(50_000, 128_000))).input_tokens
    assert 128_000 < many < 128_000 + 3000


@pytest.mark.parametrize(
    "part",
    [
        PDF,
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "JVBERi0="}},
        {"type": "file", "file": None},
        {"type": "video_url", "video_url": URL},
        {"video_url": URL},
        {"image_url": URL, "video_url": URL},
        {"type": "never heard of"},
        {"type": ["text"], "text": "x"},
        {"type": 5},
    ],
    ids=str,
)
def test_a_document_may_fill_the_context_and_no_more(part):
    two = route(Media(1445, 128_000), Media(1000, 200_000))
    assert most(saying(part), two).input_tokens == BARE + 200_000
    with_more = most(saying(part, PDF, PICTURE), two).input_tokens
    assert BARE + 200_000 <= with_more < BARE + 200_000 + 100


def test_an_earlier_answer_that_was_spoken_is_a_document():
    spoken = {"role": "assistant", "audio": {"id": "audio-1"}}
    bare = most(call({"messages": [{"role": "assistant", "audio": None}]}), ROUTE).input_tokens
    assert most(call({"messages": [spoken]}), route(Media(1, 9_000))).input_tokens == bare + 9_000


def test_what_the_table_says_of_a_context_is_believed_first():
    assert most(saying(PDF), route(Media(), context=32_000)).input_tokens == BARE + 32_000


def test_tools_are_printed_anew():
    bare, function = most(call({}), ROUTE).input_tokens, {"name": "f" * 500}
    for body in ({"tools": [{"type": "function", "function": function}]}, {"functions": [function]}):
        assert most(call(body), ROUTE).input_tokens >= bare + 500


@pytest.mark.parametrize(
    "members",
    [
        {"reasoning_effort": "high"},
        {"thinking": {"type": "enabled", "budget_tokens": 9000}},
        {"reasoning": {"max_tokens": 9000}},
    ],
    ids=str,
)
def test_what_a_model_thinks_counts_inside_the_maximum(members):
    assert most(call({"max_completion_tokens": 100, **members}), ROUTE).output_tokens == 100


def test_answers_that_are_made_and_not_shown_are_counted():
    assert most(call({"n": 2, "best_of": 5, "max_tokens": 10}), ROUTE).output_tokens == 50


def test_a_prediction_may_be_thrown_away_and_paid_for():
    guess = {"type": "content", "content": "x" * 1000}
    assert most(call({"prediction": guess, "max_tokens": 10}), ROUTE).output_tokens >= 1010


@pytest.mark.parametrize("body", [{"messages": "no"}, {"messages": [1, None, "x"]}, {"tools": {}}])
def test_odd_bodies_are_still_estimated(body):
    assert most(call(body), ROUTE).input_tokens >= 100


DATA = "data:image/png;base64," + "iVBORw0KGgoA" * 50_000


@pytest.mark.parametrize(
    "link", [{"url": DATA}, {"url": DATA, "detail": "low"}, DATA], ids=["url", "low", "bare"]
)
def test_a_picture_whose_tokens_nobody_reports_is_charged_by_its_bound_and_not_by_its_data(link):
    picture, bound = {"type": "image_url", "image_url": link}, route(Media(1445, 128_000))
    said = saying({"type": "text", "text": "x" * 400}, picture, picture)
    whole = replace(said, prompt_bytes=2 * len(DATA) + 500)
    prompt = Prompt.of(whole.body)
    assert unreported_bytes(whole, bound, prompt) == 500 + 4 * 2 * 1445
    assert unreported_bytes(whole, bound, prompt) // 4 <= estimate(whole, bound, prompt).input_tokens


@pytest.mark.parametrize(
    "part", [{"type": "text", "text": DATA}, PICTURE, PDF, {"type": "image_url"}], ids=range(4)
)
def test_all_else_is_charged_by_its_bytes(part):
    said = saying(part)
    assert unreported_bytes(said, route(Media(1, 128_000)), Prompt.of(said.body)) == said.prompt_bytes


def test_a_picture_that_is_smaller_than_its_bound_is_charged_by_its_bytes():
    small = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    said = saying(small)
    assert unreported_bytes(said, ROUTE, Prompt.of(said.body)) == said.prompt_bytes
