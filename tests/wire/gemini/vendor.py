"""The body of a `generateContent` request in the types of Google's own SDK, which forbid extras."""

from itertools import pairwise

from google.genai import types
from pydantic import BaseModel, ConfigDict

from proxy.wire.gemini.signatures import UNSIGNED


class Request(BaseModel):
    """What the SDK would send."""

    model_config = ConfigDict(extra="forbid")

    contents: list[types.Content]
    systemInstruction: types.Content | None = None  # noqa: N815
    tools: list[types.Tool] | None = None
    toolConfig: types.ToolConfig | None = None  # noqa: N815
    generationConfig: types.GenerationConfig | None = None  # noqa: N815
    serviceTier: types.ServiceTier | None = None  # noqa: N815


def check_turns(turns, *, signed):
    """What Gemini demands of a history beyond its types."""
    assert [turn["role"] for turn in turns[:1]] == ["user"]
    assert all(one["role"] != other["role"] for one, other in pairwise(turns))
    assert all(turn["parts"] for turn in turns)
    for turn, answer in zip(turns, [*turns[1:], {"parts": []}], strict=True):
        calls = [part for part in turn["parts"] if "functionCall" in part]
        asked = [(part["functionCall"]["id"], part["functionCall"]["name"]) for part in calls]
        results = [part.get("functionResponse") for part in answer["parts"][: len(asked)]]
        assert [(result["id"], result["name"]) for result in results] == asked
        signatures = [part.get("thoughtSignature") for part in calls]
        assert signatures[:1] == ([UNSIGNED] if signed and calls else [None] * len(calls[:1]))
        assert signatures[1:] == [None] * len(calls[1:])
