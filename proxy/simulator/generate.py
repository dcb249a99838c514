"""A simulated upstream that speaks Gemini's `generateContent`.

Pure: what it refuses, in the vendor's shape, and what it answers, whole and as events. It is as
strict as the real one about what the translation must get right: members, turns, names, results, and
the signatures that newer models want back (`contents.py`). It calls every function that it may at
once, and gives as many candidates as it is asked for, all alike.
`server.py` plays it at `/<name>/v1/models/<model>:generateContent` and `:streamGenerateContent`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import orjson

from proxy.abilities import ModelFacts
from proxy.facts.gemini import describe
from proxy.simulator.answers import Said
from proxy.simulator.contents import signature, wrong_turns
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
_CANDIDATES_MAX = 8
_NO_LOGPROBS = "Logprobs is not enabled for this model"
_GATED = (
    ("candidateCount", 1, "choices", "Multiple candidates is not enabled for this model"),
    ("logprobs", None, "logprobs", _NO_LOGPROBS),
    ("responseLogprobs", False, "logprobs", _NO_LOGPROBS),
)
"""A setting, its value that asks for nothing, the fact it needs, and what is said of a model without it."""


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


def judge(body: Any, facts: ModelFacts) -> Refusal | None:
    """Why the vendor would refuse `body` for such a model, or None."""
    if not isinstance(body, dict):
        return _wrong("Invalid JSON payload received.")
    settings = body.get("generationConfig") or {}
    for name in sorted((body.keys() - MEMBERS) | (settings.keys() - SETTINGS)):
        return _wrong(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    for function in _functions(body):
        if _NAME.fullmatch(str(function.get("name"))) is None:
            return _wrong("function_declarations.name: Invalid function name.")
    if body.get("tools") and settings.get("responseMimeType") and facts.schemas_with_tools is False:
        return _wrong("Function calling with a response mime type: 'application/json' is unsupported")
    for setting, idle, fact, message in _GATED:
        if settings.get(setting, idle) != idle and getattr(facts, fact) is False:
            return _wrong(message)
    count = settings.get("candidateCount", 1)
    if type(count) is not int or not 1 <= count <= _CANDIDATES_MAX:
        return _wrong(f"The candidateCount must be from 1 to {_CANDIDATES_MAX}.")
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        return _wrong("contents is not specified")
    wrong = wrong_turns(contents, facts)
    return None if wrong is None else _wrong(wrong)


def as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the answer, in OpenAI's members."""
    last = body["contents"][-1]
    answered = "functionResponse" in last["parts"][-1]
    settings = body.get("generationConfig") or {}
    return {
        "messages": [*body["contents"][:-1], {**last, "role": "tool" if answered else last["role"]}],
        "max_tokens": settings.get("maxOutputTokens"),
        "tools": [
            {"type": "function", "function": {**one, "parameters": one.get("parametersJsonSchema")}}
            for one in _functions(body)
        ],
        "tool_choice": _choice(_config(body)),
        "response_format": _format(settings),
        "reasoning_effort": "high" if _thinks(settings.get("thinkingConfig") or {}) else None,
    }


def _thinks(config: Mapping[str, Any]) -> bool:
    return bool(config) and config.get("thinkingBudget") != 0


def _functions(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for tool in body.get("tools") or () for one in tool.get("functionDeclarations") or ()]


def _config(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """How functions may be called."""
    return (body.get("toolConfig") or {}).get("functionCallingConfig") or {}


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
    """The events with the finishes: Gemini has no other word for the end."""

    def __init__(self, ident: str, body: Mapping[str, Any], said: Said) -> None:
        self._ident = ident
        self._model = str(body["model"])
        self._named = describe(self._model).signed_calls is True
        """Whether calls have ids: those of newer models do."""
        self._said = said
        settings = body.get("generationConfig") or {}
        self._candidates = range(settings.get("candidateCount", 1))
        shown = (settings.get("thinkingConfig") or {}).get("includeThoughts") is True
        self._thought = said.thought if shown else ()
        self._calls = self._called()
        nothing: list[dict[str, Any]] = [{"text": ""}]
        ends = [_event(self._chunk([self._end(index, nothing)])) for index in self._candidates]
        self.done = _event(self._refused()) if said.refused else b"".join(ends)

    def whole(self) -> bytes:
        if self._said.refused:
            return orjson.dumps(self._refused())
        parts = [{"text": "".join(self._said.tokens)}] if self._said.tool is None else self._calls
        if self._thought:
            parts = [{"text": "".join(self._thought), "thought": True}, *parts]
        return orjson.dumps(self._chunk([self._end(index, parts) for index in self._candidates]))

    def events(self) -> Iterator[bytes]:
        """All events of the stream but the last."""
        pieces: list[dict[str, Any]] = [{"text": token, "thought": True} for token in self._thought]
        if self._said.tool is not None:
            pieces += self._calls
        elif not self._said.refused:
            pieces += [{"text": token} for token in self._said.tokens]
        for piece in pieces:
            for index in self._candidates:
                yield _event(self._chunk([self._candidate(index, [piece])]))

    def _called(self) -> list[dict[str, Any]]:
        """A part for each call, the first of them signed; none where the maximum cut the arguments."""
        if self._said.tool is None or self._said.finish == "length":
            return []
        calls: list[dict[str, Any]] = [
            {"name": call.name, "args": orjson.loads("".join(call.tokens))} for call in self._said.calls
        ]
        if self._named:
            calls = [{"id": f"{self._ident}-{number}", **call} for number, call in enumerate(calls)]
        parts: list[dict[str, Any]] = [{"functionCall": call} for call in calls]
        parts[0]["thoughtSignature"] = signature(calls[0])
        return parts

    def _refused(self) -> dict[str, Any]:
        """The vendor gives no words for it."""
        return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **self._about(last=False)}

    def _candidate(self, index: int, parts: list[dict[str, Any]]) -> dict[str, Any]:
        return {"content": {"role": "model", "parts": parts}, "index": index}

    def _end(self, index: int, parts: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._candidate(index, parts), "finishReason": _FINISHES[self._said.finish]}

    def _chunk(self, candidates: list[dict[str, Any]]) -> dict[str, Any]:
        return {"candidates": candidates, **self._about(last="finishReason" in candidates[-1])}

    def _about(self, *, last: bool) -> dict[str, Any]:
        usage = {"promptTokenCount": self._said.prompt_tokens, "totalTokenCount": self._said.prompt_tokens}
        if last:
            choices, thought = len(self._candidates), len(self._said.thought)
            usage["candidatesTokenCount"] = (self._said.output_tokens - thought) * choices
            usage["totalTokenCount"] += self._said.output_tokens * choices
            usage |= {"thoughtsTokenCount": thought * choices} if thought else {}
        return {
            "usageMetadata": usage,
            "modelVersion": self._model,
            "responseId": f"simulated-{self._ident}",
        }


def _event(said: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(said) + b"\r\n\r\n"


def _wrong(message: str) -> Refusal:
    return Refusal(400, message, "INVALID_ARGUMENT")


def tongue(model: str) -> Tongue:
    """How the vendor speaks of that model."""
    return Tongue(
        judge=partial(judge, facts=describe(model)),
        shape=shape,
        errors=ERRORS,
        of_status=of_status,
        error_event=lambda: _event(shape(ERRORS["server"])),
        as_chat=as_chat,
        answer=Answer,
    )
