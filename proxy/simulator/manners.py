"""How each vendor refuses: requests judged as strictly as theirs, errors in their shapes.

`server.py` asks before it answers. Pure: nothing here touches the network or the clock.
"""

from collections.abc import Mapping
from typing import Any

OPENAI_MEMBERS = frozenset({
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model",
    "moderation", "n", "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "reasoning_effort", "response_format",
    "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options",
    "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity",
    "web_search_options",
})  # fmt: skip
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
SCRIPTED: Mapping[str, tuple[int, str, str, str]] = {
    "money": (429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    "rate_limit": (429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    "overload": (503, "The engine is currently overloaded.", "server_error", "overloaded"),
    "auth": (401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    "model": (404, "The model does not exist.", "invalid_request_error", "model_not_found"),
}
"""The errors that a script can name: status, message, type, code."""
VLLM_TYPES: Mapping[int, str] = {
    400: "BadRequestError", 404: "NotFoundError", 500: "InternalServerError", 503: "Service Unavailable",
}  # fmt: skip


def error(dialect: str, status: int, message: str, param: str | None = None, code: str | None = None) -> Any:
    """An error body in the vendor's shape."""
    if dialect == "vllm":
        if status == 401:
            return {"error": "Unauthorized"}
        kind = VLLM_TYPES.get(status, "InternalServerError")
        return {"error": {"message": message, "type": kind, "param": param, "code": status}}
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def scripted(dialect: str, name: str | None, status: int | None) -> tuple[int, Any]:
    """The status and body of an error that the script asked for."""
    if name is None:
        return status or 500, error(dialect, status or 500, "The simulator was told to fail.")
    usual, message, kind, code = SCRIPTED[name]
    body = error(dialect, status or usual, message, None, code)
    if dialect == "openai":
        body["error"]["type"] = kind
    return status or usual, body


def refusal(dialect: str, body: Any) -> Any:
    """The vendor's 400 for a request that it would not take, or None."""
    if not isinstance(body, dict):
        return error(dialect, 400, "The body must be a JSON object.")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return error(
            dialect, 400, "Missing required parameter: 'messages'.", "messages", "missing_required_parameter"
        )
    if any(not isinstance(one, dict) or one.get("role") not in ROLES for one in body["messages"]):
        return error(dialect, 400, "Invalid role in 'messages'.", "messages", "invalid_value")
    if body.get("tools") == []:
        return error(dialect, 400, "Invalid 'tools': empty array.", "tools", "empty_array")
    if body.get("tool_choice") not in (None, "none") and not body.get("tools"):
        return error(dialect, 400, "'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    return _of_openai(body) if dialect == "openai" else None


def _of_openai(body: Mapping[str, Any]) -> Any:
    if not isinstance(body.get("model"), str):
        return error("openai", 400, "you must provide a model parameter")
    for name in body:
        if name not in OPENAI_MEMBERS:
            return error("openai", 400, f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if body.get("stream_options") is not None and not body.get("stream"):
        return error(
            "openai", 400, "'stream_options' is only allowed when 'stream' is enabled.", "stream_options"
        )
    return None
