"""The request for Anthropic's Messages, rebuilt from the parsed call.

`dialect.py` calls `build`. Every one of OpenAI's parameters has its fate here: translated, passed,
left out silently (a hint), left out and noted (`degraded`), or refused by name (`Unable`), unless the
route's leeway has it left out and noted too. The caller's body is read and never changed, and no
member of it that is not named here goes on.
"""

from collections.abc import Mapping
from typing import Any

from proxy.abilities import Capabilities, ModelFacts
from proxy.call import Call, UpstreamRequest
from proxy.table import Target, Upstream
from proxy.wire.anthropic.content import text_block
from proxy.wire.anthropic.messages import Conversation, converse
from proxy.wire.anthropic.schema import Load, Untightened, tighten
from proxy.wire.anthropic.thinking import think
from proxy.wire.anthropic.tools import (
    FORCES,
    answer_through,
    choice,
    declared_anyway,
    definitions,
)
from proxy.wire.dialect import Recalled
from proxy.wire.headers import Header, outgoing
from proxy.wire.in_words import JSON_ONLY, by_schema
from proxy.wire.leeway import Leeway
from proxy.wire.modern_tools import NotFunctions, is_function, name_of, settle_tools
from proxy.wire.openai_request import is_used
from proxy.wire.person import pseudonym
from proxy.wire.tolerant import dumps
from proxy.wire.unable import Unable

PATH = "/messages"
_RELEASE = "/v1"
VERSION = "2023-06-01"
"""Sent unless the upstream's `headers` pin another: the last one under which older models sample."""
_NO_SAMPLING_SINCE = "2026-10-21"
_MOST_BREAKPOINTS = 4
_USUAL_MAX = 32_000
"""Sent where neither the caller nor a limit names a maximum: the wire demands one."""

REFUSED = frozenset(
    {
        "audio",
        "logit_bias",
        "logprobs",
        "modalities",
        "moderation",
        "n",
        "top_logprobs",
        "web_search_options",
    }
)
"""Members without which the answer would be another: refused, unless their value asks for nothing."""
KEPT = frozenset({"messages", "model", "moderation"})
"""Members that no leeway leaves out: without these there is no call, and a request for safety must not
vanish."""
HINTS = frozenset(
    {
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "seed",
        "store",
        "verbosity",
    }
)
"""Members whose loss no caller needs to be told of."""
TRANSLATED = frozenset(
    {
        "function_call",
        "functions",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "parallel_tool_calls",
        "prompt_cache_options",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "user",
    }
)
"""Members that have a place in the wire. All others, known or not, are left out and noted."""
_TIERS: Mapping[str, str] = {"auto": "auto", "priority": "auto", "default": "standard_only"}
_SCHEMA = "response_format.json_schema.schema"
_MAXIMA = ("max_completion_tokens", "max_tokens")


def build(call: Call, target: Target, upstream: Upstream, recalled: Recalled) -> UpstreamRequest:
    """The request; raises `Unable` if the wire has no way to say it."""
    headers = outgoing(call, upstream, _own_headers(upstream))
    version = dict(headers)["anthropic-version"]
    leeway = Leeway(lenient=call.drop_params)
    body = _kept(call.body, upstream.capabilities, leeway)
    offered = _settle_tools(body, leeway)
    samples = version < _NO_SAMPLING_SINCE
    talk = converse(body["messages"], target.facts, leeway, recalled)
    _keep_called(body, offered, talk.called, leeway)
    message = _Message(call, body, target.facts, leeway, samples=samples)
    out = {"model": target.model, **message.members(talk)}
    try:
        return UpstreamRequest(_path(upstream), headers, dumps(out), leeway.lost)
    except ValueError:
        raise Unable("messages", "The request is nested too deeply.", "invalid_value") from None


def _kept(given: Mapping[str, Any], able: Capabilities, leeway: Leeway) -> dict[str, Any]:
    """What will be translated, without nulls; the table may refuse or strip more of it."""
    body: dict[str, Any] = {}
    for name, value in given.items():
        if name in REFUSED or name in able.refuse:
            if is_used(name, value):
                _refuse(name, leeway)
        elif name in TRANSLATED and (name not in able.strip or name in KEPT):
            if value is not None:
                body[name] = value
        elif name not in HINTS and is_used(name, value):
            leeway.note(name)
    return body


def _refuse(name: str, leeway: Leeway) -> None:
    reason = Unable(name, f"The upstream does not support '{name}'.")
    if name in KEPT:
        raise reason
    leeway.without(reason)


def _settle_tools(body: dict[str, Any], leeway: Leeway) -> list[dict[str, Any]]:
    """Tools in today's form, and functions only; all of them, before a choice narrowed them."""
    try:
        return settle_tools(body)
    except NotFunctions:
        leeway.lose("tools", "The upstream knows no tools but functions.")
        body["tools"] = [tool for tool in body["tools"] if is_function(tool)]
        return settle_tools(body)


def _keep_called(
    body: dict[str, Any], offered: list[dict[str, Any]], called: tuple[str, ...], leeway: Leeway
) -> None:
    """Tools that the history calls stay though a choice leaves them out: what was called must be declared."""
    allowed = body.get("tools") or ()
    ids, names = {id(tool) for tool in allowed}, frozenset(called)  # a caller may list thousands
    kept = [tool for tool in offered if id(tool) in ids or name_of(tool) in names]
    if allowed and len(kept) > len(allowed):
        body["tools"] = kept
        leeway.note("tool_choice")


def _path(upstream: Upstream) -> str:
    """The vendor's own SDKs take a base URL without `/v1`, other dialects' with it: both are understood."""
    return PATH if upstream.base_url.endswith(_RELEASE) else _RELEASE + PATH


def _own_headers(upstream: Upstream) -> tuple[Header, ...]:
    version = ("anthropic-version", VERSION)
    if upstream.api_key is None:
        return (version,)
    return (version, ("x-api-key", upstream.api_key.reveal()))


class _Message:
    """One request's members, made one after another; `leeway` hears of what has to be left out."""

    def __init__(
        self, call: Call, body: dict[str, Any], facts: ModelFacts, leeway: Leeway, *, samples: bool
    ) -> None:
        self._call = call
        self._body = body
        self._facts = facts
        self._samples = samples
        self._load = Load()
        self._leeway = leeway

    def members(self, talk: Conversation) -> dict[str, Any]:
        """Everything but the model."""
        out: dict[str, Any] = {"max_tokens": self._max_tokens()}
        if self._call.stream:
            out["stream"] = True
        self._tools(out, talk)
        self._format(out, talk)
        self._thinking(out, talk)
        out["messages"] = talk.messages
        if talk.system:
            out["system"] = talk.system
        self._sampling(out)
        self._stop(out)
        self._account(out)
        _settle_breakpoints(out)
        return out

    def _max_tokens(self) -> int:
        """The wire demands one: the caller's, else what was reserved, else the model's usual.

        It is never raised, for it was held against limits, and never above what the model can.
        """
        given = self._call.body  # even where the table lets it not pass: it was held
        named = next((name for name in _MAXIMA if given.get(name) is not None), None)
        wanted = self._call.output_cap if named is None else given[named]
        most = self._facts.output
        if wanted is None:
            return min(most or _USUAL_MAX, _USUAL_MAX)
        if most is None or wanted <= most:
            return int(wanted)
        if named is not None:
            self._leeway.note(named)
        return most

    def _tools(self, out: dict[str, Any], talk: Conversation) -> None:
        tools = definitions(self._body.get("tools") or [], self._load, self._leeway)
        if tools:
            out["tools"] = tools
            picked = choice(self._body, tools, self._facts, self._leeway)
            if picked.member is not None:
                out["tool_choice"] = picked.member
            if picked.plea:
                talk.system.append(text_block(picked.plea))
        elif talk.called:
            out["tools"] = declared_anyway(talk.called)
            out["tool_choice"] = {"type": "none"}

    def _format(self, out: dict[str, Any], talk: Conversation) -> None:
        wanted = self._body.get("response_format")
        kind = wanted.get("type") if isinstance(wanted, dict) else wanted
        if kind is None or kind == "text":
            return
        if kind == "json_object":
            talk.system.append(text_block(JSON_ONLY))
            self._leeway.note("response_format")
        elif kind == "json_schema":
            self._schema(out, talk, wanted.get("json_schema") if isinstance(wanted, dict) else None)
        else:
            self._leeway.lose("response_format", "'response_format' has an unknown type.", "invalid_value")

    def _schema(self, out: dict[str, Any], talk: Conversation, wanted: Any) -> None:
        """Held to the schema where the model can be; with leeway, else asked to keep to it."""
        schema = wanted.get("schema") if isinstance(wanted, dict) else None
        if not isinstance(schema, dict):
            raise Unable(_SCHEMA, f"'{_SCHEMA}' must be a schema.", "invalid_value")
        try:
            self._hold(out, talk, schema, wanted.get("description"))
        except Unable as reason:
            self._leeway.without(reason)
            talk.system.append(text_block(by_schema(schema)))

    def _hold(self, out: dict[str, Any], talk: Conversation, schema: dict[str, Any], said: Any) -> None:
        """By a grammar, or, on older models, through a tool that they must call."""
        if talk.prefilled:
            raise Unable("response_format", "A schema cannot hold a continued message.")
        if self._facts.schemas_with_tools is not False:
            try:
                tight = tighten(schema, self._load)
            except Untightened as reason:
                raise Unable(_SCHEMA, f"The upstream cannot hold an answer to {reason}.") from None
            if not self._load.bearable:
                raise Unable(_SCHEMA, "The upstream cannot hold an answer to a schema as large as this.")
            out["output_config"] = {"format": {"type": "json_schema", "schema": tight}}
        elif self._body.get("tools") or talk.called:
            raise Unable("response_format", "The upstream's model takes a schema or tools, not both.")
        elif self._facts.forced_tools is False:
            raise Unable("response_format", "The upstream's model cannot be held to a schema.")
        else:
            tool = answer_through(schema, said, self._leeway)
            out["tools"] = [tool]
            out["tool_choice"] = {"type": "tool", "name": tool["name"], "disable_parallel_tool_use": True}

    def _thinking(self, out: dict[str, Any], talk: Conversation) -> None:
        forced = out.get("tool_choice", {}).get("type") in FORCES
        free = not forced and not talk.continues
        said = think(self._body, self._facts, out["max_tokens"], self._leeway, free=free)
        if said.config is not None:
            out["thinking"] = said.config
        if said.effort is not None:
            out.setdefault("output_config", {})["effort"] = said.effort
        if said.unmet is not None:
            self._leeway.note(said.unmet)
        if not said.recalls(self._facts):
            talk.forget_thoughts()
        self._samples = self._samples and self._facts.sampling is not False and not said.active

    def _sampling(self, out: dict[str, Any]) -> None:
        """Where the model still takes it; the wire's range is half of OpenAI's, and takes one of two."""
        for name, highest in (("temperature", 1), ("top_p", 1), ("top_k", None)):
            value = self._body.get(name)
            if value is None or value == highest:
                continue  # not given, or what happens anyway
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Unable(name, f"'{name}' must be a number.", "invalid_type")
            if self._samples and not (name == "top_p" and "temperature" in out):
                out[name] = value if highest is None else min(value, highest)
            if out.get(name) != value:
                self._leeway.note(name)

    def _stop(self, out: dict[str, Any]) -> None:
        given = self._body.get("stop")
        if given is None:
            return
        words = [given] if isinstance(given, str) else given
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise Unable("stop", "'stop' must be a string or a list of strings.", "invalid_type")
        kept = [word for word in words if word.strip()]
        if kept:
            out["stop_sequences"] = kept
        if len(kept) < len(words):
            self._leeway.note("stop")

    def _account(self, out: dict[str, Any]) -> None:
        """Whom the call is for, how urgent it is, what may be cached."""
        person = pseudonym(self._call.identity)
        if person is not None:
            out["metadata"] = {"user_id": person}
        tier = self._body.get("service_tier")
        if isinstance(tier, str) and tier in _TIERS:
            out["service_tier"] = _TIERS[tier]
        elif tier is not None:
            self._leeway.note("service_tier")
        cache = self._body.get("prompt_cache_options")
        if isinstance(cache, dict) and cache.get("mode") == "implicit":
            out["cache_control"] = {"type": "ephemeral"}


def _settle_breakpoints(out: dict[str, Any]) -> None:
    """Cache breakpoints as the wire takes them: a few, and none that outlives one before it.

    The last few are kept, for they hold the longer prefixes.
    """
    blocks: list[dict[str, Any]] = [*out.get("tools", ()), *out.get("system", ())]
    for message in out["messages"]:
        for block in message["content"]:
            blocks += block.get("content", ()) if block["type"] == "tool_result" else ()
            blocks.append(block)
    marked = [block for block in blocks if "cache_control" in block]
    most = _MOST_BREAKPOINTS - ("cache_control" in out)
    for block in marked[:-most]:
        del block["cache_control"]
    lasting = True
    for block in marked[-most:]:
        lasting = lasting and "ttl" in block["cache_control"]
        if not lasting:
            block["cache_control"] = {"type": "ephemeral"}
