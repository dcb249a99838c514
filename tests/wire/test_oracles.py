"""Every recorded and every golden answer, judged by the vendors' own SDKs.

What a vendor's SDK reads out of the original, OpenAI's must read out of our translation: text,
reasoning, calls, finish, and every count that money depends on. `oracles.py` names who judges what.
"""

import json
import random
from typing import NamedTuple

import pytest
from openai.types.chat import ChatCompletion

from proxy.call import Call, Kind
from proxy.policy.classify import classify
from proxy.table import Upstream
from proxy.usage import Source
from proxy.wire import DIALECTS
from proxy.wire.dialect import Dialect, Reply
from tests.wire.oracles import GOLDEN, GOLDEN_RULES, OPENAI, RECORDINGS, Accumulated, Listed, Refusal
from tests.wire.samples import DONE, FIXTURES, HELLO, accumulate, make_call, make_upstream, read_whole
from tests.wire.test_cases import FOLDERS, STOPS, arrange
from tests.wire.vendors import Counts, Read, events, google, openai

RECORDED = sorted(FIXTURES.glob("*/*"))
ANSWERED = [
    path
    for folder in FOLDERS
    for path in sorted(folder.glob("reply.upstream.*"))
    if not (folder / "failure.json").exists()
]

needs_recordings = pytest.mark.skipif(
    not RECORDED, reason=f"no recordings under {FIXTURES} (set FALLTHROUGH_FIXTURES)"
)


def name_of(path) -> str:
    """`<vendor>/<file>` of a recording, `<dialect>/<case>` of a golden answer."""
    place = path if path.is_relative_to(FIXTURES) else path.parent
    return f"{place.parent.name}/{place.name}"


def dialect_of(name: str) -> Dialect:
    return DIALECTS.get(name.partition("/")[0], DIALECTS["openai"])


class Sample(NamedTuple):
    """One answer, the call that drew it, and its oracle."""

    name: str
    dialect: Dialect
    call: Call
    upstream: Upstream
    data: bytes
    oracle: Accumulated

    def theirs(self) -> Read:
        """What the vendor's SDK reads in it."""
        return as_asked(self.oracle.by(self.data, self.oracle.quirks), self.call)

    def reader(self, *, asked: bool = True):
        body = {**self.call.body, "stream": True, "stream_options": {"include_usage": asked}}
        return self.dialect.reader(make_call(body, include_usage=asked), self.upstream)


def sample_of(path) -> Sample:
    name, data = name_of(path), path.read_bytes()
    if path.is_relative_to(FIXTURES):
        return Sample(name, dialect_of(name), recorded_call(path), make_upstream(), data, RECORDINGS[name])
    dialect, call, _, upstream = arrange(path.parent)
    return Sample(name, dialect, call, upstream, data, GOLDEN.get(name, GOLDEN_RULES[path.parents[1].name]))


def recorded_call(path) -> Call:
    """A call for as many answers as were recorded, which offers whatever tools they call."""
    oracle = RECORDINGS[name_of(path)]
    seen = oracle.by(path.read_bytes(), oracle.quirks)
    body = {**HELLO, "n": len(seen.choices)} if len(seen.choices) > 1 else HELLO
    names = sorted({call.name for choice in seen.choices for call in choice.calls})
    if names and oracle.by is google:
        body = {**body, "tools": [{"type": "function", "function": {"name": one}} for one in names]}
    return make_call(body)


def judged(suffix: str) -> list:
    """All answers that an SDK judges; a list of Gemini's is an answer whole and in pieces."""
    recordings = [path for path in RECORDED if isinstance(RECORDINGS.get(name_of(path)), Accumulated)]
    found = [path for path in recordings if path.suffix == suffix or path.name.startswith("json_array")]
    return found + [path for path in ANSWERED if path.suffix == suffix]


STREAMS = judged(".sse")
WHOLE = judged(".json")
streams = pytest.mark.parametrize("path", STREAMS, ids=name_of)


def as_asked(theirs: Read, call: Call) -> Read:
    """A caller of old functions gets one call, in their form."""
    if not call.body.get("functions"):
        return theirs
    (choice,) = theirs.choices
    first = tuple(one._replace(id=None) for one in choice.calls[:1])
    finish = "function_call" if first else choice.finish
    return theirs._replace(choices=(choice._replace(finish=finish, calls=first),))


def assert_same(ours: Read, theirs: Read) -> None:
    """The same answer. Ids that the vendor did not give are ours, and each differs."""
    assert len(ours.choices) == len(theirs.choices)
    for mine, other in zip(ours.choices, theirs.choices, strict=True):
        ids = [call.id for call in mine.calls]
        assert len(set(ids)) == len(ids)
        given = zip(mine.calls, other.calls, strict=False)
        calls = tuple(his._replace(id=his.id or own.id) for own, his in given)
        assert mine == other._replace(calls=calls + other.calls[len(calls) :])
        assert all(isinstance(call.arguments, dict) for call in mine.calls)
    assert ours.model == theirs.model


def assert_counted(sample: Sample, usage, theirs: Read, shown: Counts | None) -> None:
    """What the vendor counted is what is billed, and what the caller is shown."""
    if theirs.counts is None or not sample.oracle.counted:
        assert usage.source is not Source.REPORTED
        assert usage.total > 0
        return
    assert usage.source is Source.REPORTED
    billed = Counts(usage.input, usage.output, usage.total, usage.cached, usage.cache_write, usage.reasoning)
    assert billed == theirs.counts
    if shown is not None:
        spent = "reasoning_beside_output" in sample.oracle.quirks
        elsewhere = "count_of_cache_elsewhere" in sample.oracle.quirks
        assert shown.input == billed.input
        assert shown.output == billed.output - (billed.reasoning if spent else 0)
        assert shown.total == billed.total
        assert elsewhere or shown.cached == billed.cached


# --- the manifest ---------------------------------------------------------------------------------


@needs_recordings
def test_every_recording_has_an_oracle_and_every_oracle_a_recording():
    assert sorted(RECORDINGS) == [name_of(path) for path in RECORDED]


def test_every_golden_answer_has_an_oracle_and_every_exception_a_case():
    assert {folder.parent.name for folder in FOLDERS} == set(GOLDEN_RULES) == set(DIALECTS)
    assert {name_of(path) for path in ANSWERED} >= set(GOLDEN)


QUIRKY = [path for path in STREAMS + WHOLE if {**RECORDINGS, **GOLDEN}.get(name_of(path), OPENAI).quirks]


@pytest.mark.parametrize("path", QUIRKY, ids=name_of)
def test_no_quirk_is_declared_that_is_none(path):
    """Without each mend the SDK raises, or reads something else: it is not there for convenience."""
    sample = sample_of(path)
    for quirk in sample.oracle.quirks:
        others = [one for one in sample.oracle.quirks if one != quirk]
        try:
            unmended = as_asked(sample.oracle.by(sample.data, others), sample.call)
        except (AssertionError, IndexError, KeyError, TypeError, UserWarning, ValueError):
            continue
        assert unmended != sample.theirs()


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [True, False])
@streams
def test_both_sdks_read_the_same_out_of_a_stream(path, asked):
    sample = sample_of(path)
    reader = sample.reader(asked=asked)
    out = read_whole(reader, sample.data)
    assert reader.ended
    assert out.endswith(DONE)
    ours, theirs = openai(out), sample.theirs()
    assert_same(ours, theirs)
    assert_counted(sample, reader.usage, theirs, ours.counts)
    assert asked or all("usage" not in event for event in events(out))


@streams
def test_a_usage_comes_last_and_a_role_first_and_each_once(path):
    sample = sample_of(path)
    reader = sample.reader()
    out = read_whole(reader, sample.data)
    if b"\\ud8" in out:  # the strict types know no half characters; the SDK does
        return
    chunks, _ = accumulate(out)
    counted = [chunk.usage is not None for chunk in chunks]
    assert counted == [False] * (len(chunks) - 1) + [reader.usage.source is Source.REPORTED]
    choices = {choice.index for chunk in chunks for choice in chunk.choices}
    roles = [choice.index for chunk in chunks for choice in chunk.choices if choice.delta.role]
    assert sorted(roles) == sorted(choices)
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1


@streams
def test_a_stream_comes_out_the_same_however_it_is_cut(path):
    sample = sample_of(path)
    data = sample.data
    out = read_whole(sample.reader(), data)
    for step in (1, 61):
        assert read_whole(sample.reader(), data, step) == out
    dice = random.Random(sample.name)
    for _ in range(5):
        reader = sample.reader()
        cuts = sorted(dice.sample(range(len(data)), min(9, len(data) - 1)))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        assert b"".join(reader.feed(piece) for piece in pieces) + reader.finish() == out


MANY, FEW = 3000, 300
"""Bytes up to which a recording is cut at every one, and cuts of a longer one."""


@pytest.mark.parametrize("path", [path for path in STREAMS if path in RECORDED], ids=name_of)
def test_a_recorded_stream_that_is_cut_is_never_sold_as_whole(path):
    """The golden ones are cut at every byte, in `test_cases.py`."""
    sample = sample_of(path)
    data, gemini = sample.data, sample.oracle.by is google
    stop = data.rindex(STOPS.get(path.parent.name, b'"finish_reason":').rstrip(b'"'))
    last = len(data.rstrip())
    near = range(max(0, stop - 20), min(last, stop + 20))
    for at in sorted({*range(0, last, 1 if last < MANY else last // FEW), *near}):
        reader = sample.reader()
        out = reader.feed(data[:at]) + reader.finish()
        assert reader.ended == out.endswith(DONE) == (reader.failure is None)
        assert reader.usage.total > 0
        assert not reader.ended or (at > stop and not gemini)  # whose last word is the finish
        assert not gemini or b'"finish_reason":"' not in out


@pytest.mark.parametrize("path", WHOLE, ids=name_of)
def test_both_sdks_read_the_same_out_of_a_whole_answer(path):
    sample = sample_of(path)
    reply = sample.dialect.reply(sample.call, sample.upstream, 200, {}, sample.data)
    assert isinstance(reply, Reply)
    ours, theirs = openai(reply.body), sample.theirs()
    assert_same(ours, theirs)
    assert ours.counts is not None or reply.usage.source is not Source.REPORTED
    assert_counted(sample, reply.usage, theirs, ours.counts)
    ChatCompletion.model_validate_json(reply.body)


# --- what OpenAI says, and what is no answer ------------------------------------------------------


BY_OPENAI = [path for path in STREAMS + WHOLE if path in RECORDED and path.parent.name == "openai"]


@pytest.mark.parametrize("path", BY_OPENAI, ids=name_of)
def test_what_openai_says_passes_byte_for_byte(path):
    sample = sample_of(path)
    if path in WHOLE:
        assert sample.dialect.reply(sample.call, sample.upstream, 200, {}, sample.data).body == sample.data
        return
    out = read_whole(sample.reader(), sample.data)
    if "usage_overwritten" in sample.oracle.quirks:  # an event follows the usage, which moves behind it
        assert sorted(out.split(b"\n\n")) == sorted(sample.data.split(b"\n\n"))
    else:
        assert out == sample.data


REFUSALS = {name: one for name, one in RECORDINGS.items() if isinstance(one, Refusal)}
LISTS = {name: one for name, one in RECORDINGS.items() if isinstance(one, Listed)}


@needs_recordings
@pytest.mark.parametrize(("name", "expected"), REFUSALS.items(), ids=REFUSALS)
def test_a_recorded_refusal_is_understood(name, expected):
    body = (FIXTURES / name).read_bytes()
    signal = dialect_of(name).error(expected.status, {}, body)
    assert signal == dialect_of(name).reply(make_call(), make_upstream(), expected.status, {}, body)
    assert (signal.kind, classify(signal).cls) == (expected.kind, expected.cls)
    assert signal.retry_after_s == expected.wait_s
    told = signal.told
    assert (told is not None) == (expected.kind in {Kind.BAD_REQUEST, Kind.TOO_LONG, Kind.UNABLE})
    assert told is None or (told.status, told.type, told.code) == (
        400,
        "invalid_request_error",
        expected.code,
    )


@needs_recordings
@pytest.mark.parametrize(("name", "expected"), LISTS.items(), ids=LISTS)
def test_what_is_no_answer_is_not_taken_for_one(name, expected):
    body = (FIXTURES / name).read_bytes()
    assert expected.by(body) == expected.number
    assert dialect_of(name).reply(make_call(), make_upstream(), 200, {}, body).kind is Kind.BAD_ANSWER


@needs_recordings
def test_googles_odds_come_in_openais_form():
    data = (FIXTURES / "gemini/logprobs_vertex.json").read_bytes()
    answer = json.loads(DIALECTS["gemini"].reply(make_call(), make_upstream(), 200, {}, data).body)
    tokens = answer["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == "2 + 2 = 4"
    assert all(len(token["top_logprobs"]) == 5 for token in tokens)
