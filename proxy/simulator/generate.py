"""A simulated upstream that speaks Gemini's `generateContent`.

Pure: what it refuses, in the vendor's shape, and what it answers, whole and as events. It is as
strict as the real one about what the translation must get right: members, turns, names, results.
`server.py` plays it at `/<name>/v1/models/<model>:generateContent` and `:streamGenerateContent`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from proxy.simulator.answers import Said
from proxy.simulator.manners import Refusal
from proxy.simulator.tongue import Tongue

MEMBERS = frozenset(
    {
        "cachedContent",
        "contents",
        "generationConfig",
        "safetySettings",
        "serviceTier",
        "systemInstruction",
        "toolConfig",
        "tools",
    }
)
SETTINGS = frozenset(
    {
        "candidateCount",
        "frequencyPenalty",
        "logprobs",
        "maxOutputTokens",
        "presencePenalty",
        "responseJsonSchema",
        "responseLogprobs",
        "responseMimeType",
        "seed",
        "stopSequences",
        "temperature",
        "thinkingConfig",
        "topK",
        "topP",
    }
)
ERRORS: Mapping[str, Refusal] = {
    "rate_limit": Refusal(429, "Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED"),
    "overload": Refusal(503, "The model is overloaded. Please try again later.", "UNAVAILABLE"),
    "money": Refusal(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", "RequestsPerDay"),
    "auth": Refusal(400, "API key not valid.", "INVALID_ARGUMENT", "API_KEY_INVALID"),
    "model": Refusal(404, "models/simulated is not found for API version v1.", "NOT_FOUND"),
    "server": Refusal(500, "An internal error has occurred.", "INTERNAL"),
    "context": Refusal(
        400,
        "The input token count (2049) exceeds the maximum number of tokens allowed (2048).",
        "INVALID_ARGUMENT",
    ),
}
"""What a script can ask for by name."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}", re.ASCII)
_RPC = "type.googleapis.com/google.rpc."
_WORDS: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_FINISHES: Mapping[str, str] = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS"}
_CHOICES: Mapping[str, str] = {"NONE": "none", "ANY": "required"}


def of_status(status: int) -> Refusal:
    """A plain error for a bare status in a script."""
    word = _WORDS.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    return Refusal(status, f"Simulated trouble ({status}).", word)


def shape(refusal: Refusal) -> dict[str, Any]:
    """The body of `refusal` as the vendor sends it; its code is a reason, or the name of a quota."""
    details: list[dict[str, Any]] = []
    if refusal.code is not None and refusal.type == "RESOURCE_EXHAUSTED":
        details = [{"@type": f"{_RPC}QuotaFailure", "violations": [{"quotaId": refusal.code}]}]
    elif refusal.code is not None:
        details = [{"@type": f"{_RPC}ErrorInfo", "reason": refusal.code}]
    error = {"code": refusal.status, "message": refusal.message, "status": refusal.type, "details": details}
    return {"error": error}


def judge(body: Any) -> Refusal | None:
    """Why the vendor would refuse `body`, or None."""
    if not isinstance(body, dict):
        return _wrong("Invalid JSON payload received.")
    settings = body.get("generationConfig") or {}
    for name in sorted((body.keys() - MEMBERS) | (settings.keys() - SETTINGS)):
        return _wrong(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    for function in _functions(body):
        if _NAME.fullmatch(str(function.get("name"))) is None:
            return _wrong("function_declarations.name: Invalid function name.")
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        return _wrong("contents is not specified")
    return _turns(contents)


def _turns(contents: list[Any]) -> Refusal | None:
    """Parts are not empty, and calls have as many results in the next turn, named like them."""
    calls: list[Any] = []
    for at, turn in enumerate(contents):
        parts = turn.get("parts") if isinstance(turn, dict) else None
        if not isinstance(parts, list) or not parts or turn.get("role") not in ("user", "model"):
            return _wrong(f"contents[{at}]: must have a role and parts")
        if at == 0 and turn["role"] != "user":
            return _wrong("Please ensure that the conversation begins with a user turn.")
        if any(part.get("text") == "" for part in parts):
            return _wrong(f"contents[{at}].parts: must not be empty")
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if [result.get("name") for result in results] != calls:
            return _wrong("Please ensure that function response parts equal the function call parts.")
        if not all(isinstance(result.get("response"), dict) for result in results):
            return _wrong(f"contents[{at}]: function_response.response must be an object")
        calls = [part["functionCall"].get("name") for part in parts if "functionCall" in part]
    return _wrong("Please ensure that function calls are followed by their responses.") if calls else None


def as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the answer, in OpenAI's members."""
    last = body["contents"][-1]
    answered = any("functionResponse" in part for part in last["parts"])
    settings = body.get("generationConfig") or {}
    return {
        "messages": [*body["contents"][:-1], {**last, "role": "tool" if answered else last["role"]}],
        "max_tokens": settings.get("maxOutputTokens"),
        "tools": [
            {"type": "function", "function": {**one, "parameters": one.get("parametersJsonSchema")}}
            for one in _functions(body)
        ],
        "tool_choice": _choice((body.get("toolConfig") or {}).get("functionCallingConfig") or {}),
        "response_format": _format(settings),
        "reasoning_effort": "high" if _thinks(settings.get("thinkingConfig") or {}) else None,
    }


def _thinks(config: Mapping[str, Any]) -> bool:
    return bool(config) and config.get("thinkingBudget") != 0


def _functions(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for tool in body.get("tools") or () for one in tool.get("functionDeclarations") or ()]


def _choice(config: Mapping[str, Any]) -> Any:
    names = config.get("allowedFunctionNames")
    if config.get("mode") == "ANY" and names:
        return {"type": "function", "function": {"name": names[0]}}
    return _CHOICES.get(str(config.get("mode")))


def _format(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    if settings.get("responseMimeType") != "application/json":
        return None
    schema = settings.get("responseJsonSchema")
    return {"type": "json_schema", "json_schema": {"schema": schema}} if schema else {"type": "json_object"}


class Answer:
    """One answer in the vendor's members."""

    done: bytes
    """The event with the finish: Gemini has no other word for the end."""

    def __init__(self, ident: str, body: Mapping[str, Any], said: Said) -> None:
        self._ident = ident
        self._model = str(body["model"])
        self._said = said
        config = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
        self._thought = said.thought if config.get("includeThoughts") is True else ()
        self.done = _event(self._refused() if said.refused else self._chunk([{"text": ""}], said.finish))

    def whole(self) -> bytes:
        if self._said.refused:
            return orjson.dumps(self._refused())
        thought = [{"text": "".join(self._thought), "thought": True}] if self._thought else []
        parts = self._calls() if self._said.tool is not None else [{"text": "".join(self._said.tokens)}]
        return orjson.dumps(self._chunk(thought + parts, self._said.finish))

    def events(self) -> Iterator[bytes]:
        """All events of the stream but the last."""
        for token in self._thought:
            yield _event(self._chunk([{"text": token, "thought": True}]))
        if self._said.tool is not None:
            yield _event(self._chunk(self._calls()))
            return
        for token in () if self._said.refused else self._said.tokens:
            yield _event(self._chunk([{"text": token}]))

    def _calls(self) -> list[dict[str, Any]]:
        """Each call in one part; none where the maximum cut its arguments."""
        if self._said.finish == "length":
            return []
        return [
            {"functionCall": {"name": call.name, "args": orjson.loads("".join(call.tokens))}}
            for call in self._said.calls
        ]

    def _refused(self) -> dict[str, Any]:
        """The vendor gives no words for it."""
        return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **self._about(last=True)}

    def _chunk(self, parts: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish is not None:
            candidate["finishReason"] = _FINISHES[finish]
        return {"candidates": [candidate], **self._about(last=finish is not None)}

    def _about(self, *, last: bool) -> dict[str, Any]:
        usage = {"promptTokenCount": self._said.prompt_tokens, "totalTokenCount": self._said.prompt_tokens}
        if last and not self._said.refused:
            thought = len(self._said.thought)
            usage["candidatesTokenCount"] = self._said.output_tokens - thought
            usage["totalTokenCount"] += self._said.output_tokens
            usage |= {"thoughtsTokenCount": thought} if thought else {}
        return {
            "usageMetadata": usage,
            "modelVersion": self._model,
            "responseId": f"simulated-{self._ident}",
        }


def _event(said: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(said) + b"\r\n\r\n"


def _wrong(message: str) -> Refusal:
    return Refusal(400, message, "INVALID_ARGUMENT")


GENERATE = Tongue(
    judge=judge,
    shape=shape,
    errors=ERRORS,
    of_status=of_status,
    error_event=lambda: _event(shape(ERRORS["server"])),
    as_chat=as_chat,
    answer=Answer,
)
