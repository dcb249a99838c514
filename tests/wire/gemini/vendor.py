"""The body of a `generateContent` request in the types of Google's own SDK, which forbid extras."""

from google.genai import types
from pydantic import BaseModel, ConfigDict


class Request(BaseModel):
    """What the SDK would send."""

    model_config = ConfigDict(extra="forbid")

    contents: list[types.Content]
    systemInstruction: types.Content | None = None  # noqa: N815
    tools: list[types.Tool] | None = None
    toolConfig: types.ToolConfig | None = None  # noqa: N815
    generationConfig: types.GenerationConfig | None = None  # noqa: N815
    serviceTier: types.ServiceTier | None = None  # noqa: N815
