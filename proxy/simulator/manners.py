"""How each vendor refuses: what it checks of a request, and the shape of its errors.

Pure tables and checks, as strict as the real ones where clients notice. Used by `server.py`.
"""

from collections.abc import Mapping
from types import UnionType
from typing import Any

from msgspec import Struct

OPENAI_MEMBERS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
SHAPES: Mapping[str, type | UnionType] = {
    "messages": list,
    "tools": list,
    "tool_choice": str | dict,
    "response_format": dict,
    "stream": bool,
    "stream_options": dict,
}
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


class Refusal(Struct, frozen=True):
    """An error answer before it has a vendor's shape."""

    status: int
    message: str
    type: str
    code: str | None = None
    param: str | None = None
    malformed: bool = False
    """Not the value but the type of something is wrong; vLLM says so in other words."""


ERRORS: Mapping[str, Refusal] = {
    "rate_limit": Refusal(429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    "overload": Refusal(503, "The engine is currently overloaded, please try again later.", "server_error"),
    "money": Refusal(
        429,
        "You exceeded your current quota, please check your plan.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "auth": Refusal(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    "model": Refusal(404, "The model does not exist.", "invalid_request_error", "model_not_found", "model"),
    "server": Refusal(500, "The server had an error while processing your request.", "server_error"),
    "context": Refusal(
        400,
        "This model's maximum context length is 2048 tokens. However, your messages resulted in more.",
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    ),
}
"""What a script can ask for by name."""

VLLM_TYPES: Mapping[int, str] = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
    503: "Service Unavailable",
}


def of_status(status: int) -> Refusal:
    """A plain error for a bare status in a script."""
    family = "server_error" if status >= 500 else "invalid_request_error"
    return Refusal(status, f"Simulated trouble ({status}).", family)


def shape(dialect: str, refusal: Refusal) -> dict[str, Any]:
    """The body of `refusal` as the vendor sends it."""
    if dialect == "vllm":
        if refusal.status == 401:
            return {"error": "Unauthorized"}
        kind, param = VLLM_TYPES.get(refusal.status, "InternalServerError"), refusal.param
        if refusal.malformed:
            kind, param = "Bad Request", None if param is None else f"body.{param}"
        told = {"message": refusal.message, "type": kind, "param": param, "code": refusal.status}
    else:
        told = {
            "message": refusal.message,
            "type": refusal.type,
            "param": refusal.param,
            "code": refusal.code,
        }
    return {"error": told}


def judge(dialect: str, body: Any) -> Refusal | None:
    """Why the vendor would refuse `body`, or None."""
    if not isinstance(body, dict):
        return _malformed("The body must be a JSON object.", None)
    if dialect == "openai":
        unknown = sorted(set(body) - OPENAI_MEMBERS)
        if unknown:
            return _wrong(
                f"Unrecognized request argument supplied: {unknown[0]}", unknown[0], "unknown_parameter"
            )
        if not isinstance(body.get("model"), str):
            return _wrong("you must provide a model parameter", "model")
    refused = _shapes(dialect, body) or _messages(body["messages"]) or _tools(body) or _numbers(body)
    return refused or (_continuation(body) if dialect == "vllm" else None)


def _shapes(dialect: str, body: Mapping[str, Any]) -> Refusal | None:
    """The type of everything that an answer depends on."""
    if body.get("messages") is None:
        return _malformed("Missing required parameter: 'messages'.", "messages")
    for name, kind in SHAPES.items():
        if body.get(name) is not None and not isinstance(body[name], kind):
            return _malformed(f"Invalid type for '{name}'.", name)
    for at, tool in enumerate(body.get("tools") or ()):
        offers = "custom" if dialect == "openai" and _is_custom(tool) else "function"
        offered = tool.get(offers) if isinstance(tool, dict) else None
        if not isinstance(offered, dict) or not isinstance(offered.get("name"), str):
            return _malformed(f"Missing required parameter: 'tools[{at}].{offers}.name'.", f"tools[{at}]")
    form = body.get("response_format") or {}
    schema = form.get("json_schema")
    if form.get("type") == "json_schema" and not isinstance(schema, dict):
        return _malformed("Missing required parameter: 'response_format.json_schema'.", "response_format")
    return None


def _is_custom(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "custom"


def _messages(messages: list[Any]) -> Refusal | None:
    if not messages:
        return _wrong("'messages' must be a list with at least one message.", "messages")
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            return _wrong(f"Invalid value for messages[{at}].role.", f"messages[{at}].role")
    return None


def _tools(body: Mapping[str, Any]) -> Refusal | None:
    tools = body.get("tools")
    if tools is not None and not tools:
        return _wrong("'tools' must be a list with at least one tool.", "tools")
    if tools is None and body.get("tool_choice") not in (None, "none"):
        return _wrong("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    if body.get("stream_options") is not None and body.get("stream") is not True:
        return _wrong("'stream_options' is only allowed when 'stream' is true.", "stream_options")
    return None


def _continuation(body: Mapping[str, Any]) -> Refusal | None:
    if body.get("continue_final_message") and body.get("add_generation_prompt", True):
        message = "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
        return _wrong(message, "add_generation_prompt")
    return None


def _numbers(body: Mapping[str, Any]) -> Refusal | None:
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("n", 1, 128),
        ("max_tokens", 1, 1 << 31),
        ("max_completion_tokens", 1, 1 << 31),
    ):
        value = body.get(name)
        if value is None:
            continue
        whole = name not in ("temperature", "top_p")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            return _malformed(f"Invalid type for '{name}'.", name)
        if not low <= value <= high:
            return _wrong(f"Invalid value for '{name}': must be between {low} and {high}.", name)
    return None


def _wrong(message: str, param: str | None, code: str | None = None) -> Refusal:
    return Refusal(400, message, "invalid_request_error", code, param)


def _malformed(message: str, param: str | None) -> Refusal:
    return Refusal(400, message, "invalid_request_error", None, param, malformed=True)
