"""What a simulated Claude refuses and how it thinks, model by model, as `proxy/facts` knows them.

Pure; `messages.py` asks it. A thought is signed over its model and its words, so that what comes back
is known for what was said here; it tells how many thoughts came back before it, so that a test at the
far end of a conversation sees whether any was lost.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from proxy.abilities import ModelFacts
from proxy.facts.claude import describe

Body = Mapping[str, Any]
Block = dict[str, Any]

LEAST_BUDGET = 1024
MOST_BREAKPOINTS = 4
_THOUGHTS = ("thinking", "redacted_thinking")
_NO_PREFILL = "This model does not support assistant message prefill."
_FORCES = ("any", "tool")


def refuse(body: Body) -> str:
    """Why the model refuses a body that is well formed, in the vendor's words; "" if it does not."""
    facts = describe(body["model"])
    return next(filter(None, (rule(body, facts) for rule in _RULES)), "")


def thought(body: Body) -> Block | None:
    """What the model thinks before it answers, if it is told to."""
    if _told(body) in ("", "disabled"):
        return None
    shown = (body["thinking"].get("display") or _told(body)) in ("summarized", "enabled")
    before = sum(1 for _, block in _blocks(body) if block.get("type") == "thinking")
    words = f"Simulated thought {before + 1}." if shown else ""
    return {"type": "thinking", "thinking": words, "signature": _sign(body["model"], words)}


def _sign(model: str, words: str) -> str:
    return base64.b64encode(hashlib.sha256(f"{model}\n{words}".encode()).digest()).decode()


def _told(body: Body) -> str:
    """The way in which the model is told to think; "" if nothing is said."""
    return str((body.get("thinking") or {}).get("type", ""))


def _blocks(body: Body) -> Iterator[tuple[str, Block]]:
    """Every block of the history, with its place."""
    for at, message in enumerate(body["messages"]):
        for index, block in enumerate(message["content"] if isinstance(message["content"], list) else ()):
            yield f"messages.{at}.content.{index}", block


def _last_answer(body: Body) -> tuple[int, list[Block]]:
    """Place and blocks of the model's last turn, if its calls have just been answered or it is to go on."""
    messages = body["messages"]
    last = messages[-1]
    if last["role"] == "assistant":
        at = len(messages) - 1
    elif any(block.get("type") == "tool_result" for block in last["content"] if isinstance(block, dict)):
        at = max(at for at, message in enumerate(messages) if message["role"] == "assistant")
    else:
        return 0, []
    content = messages[at]["content"]
    return at, content if isinstance(content, list) else [{"type": "text", "text": content}]


def _roles(body: Body, facts: ModelFacts) -> str:
    known = ("user", "assistant", "system") if facts.inline_system else ("user", "assistant")
    for at, message in enumerate(body["messages"]):
        if message["role"] not in known:
            return f"messages.{at}.role: Input should be {' or '.join(map(repr, known))}"
    return ""


def _maximum(body: Body, facts: ModelFacts) -> str:
    asked = body["max_tokens"]
    if facts.output is None or asked <= facts.output:
        return ""
    return (
        f"max_tokens: {asked} > {facts.output}, which is the maximum allowed number of output tokens "
        f"for {body['model']}"
    )


def _prefill(body: Body, facts: ModelFacts) -> str:
    if facts.prefill or body["messages"][-1]["role"] != "assistant":
        return ""
    return f"{_NO_PREFILL} The conversation must end with a user message."


def _sampling(body: Body, facts: ModelFacts) -> str:
    given = [name for name in ("temperature", "top_p", "top_k") if name in body]
    if given and not facts.sampling:
        return f"`{given[0]}` is deprecated for this model."
    if given and _told(body) in ("enabled", "adaptive"):
        return f"`{given[0]}` may only be set to 1 when thinking is enabled."
    if "temperature" in given and "top_p" in given:
        return "`temperature` and `top_p` cannot both be specified for this model."
    return ""


def _forced(body: Body, facts: ModelFacts) -> str:
    if (body.get("tool_choice") or {}).get("type") not in _FORCES:
        return ""
    if not facts.forced_tools:
        return 'tool_choice: type "tool" and "any" are not supported for this model.'
    return "Thinking may not be enabled when tool_choice forces tool use." if _told(body) == "enabled" else ""


def _effort(body: Body, facts: ModelFacts) -> str:
    effort = (body.get("output_config") or {}).get("effort")
    if effort is None or effort in (facts.efforts or ()):
        return ""
    levels = ", ".join(sorted(facts.efforts or ()))
    return f"This model does not support effort level '{effort}'. Supported levels: {levels}."


def _thinking(body: Body, facts: ModelFacts) -> str:
    told = _told(body)
    if told and told not in (facts.thinking or ()):
        return f'"thinking.type.{told}" is not supported for this model.'
    if told == "enabled":
        budget = body["thinking"].get("budget_tokens")
        if type(budget) is not int or budget < LEAST_BUDGET:
            return "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
        if budget >= body["max_tokens"]:
            return "`max_tokens` must be greater than `thinking.budget_tokens`."
    return ""


def _signatures(body: Body, _: ModelFacts) -> str:
    for place, block in _blocks(body):  # nothing is redacted here, so no such block can be one of ours
        if block.get("type") == "redacted_thinking":
            return f"{place}: Invalid `data` in `redacted_thinking` block"
        if block.get("type") == "thinking" and block.get("signature") != _sign(
            body["model"], str(block.get("thinking"))
        ):
            return f"{place}: Invalid `signature` in `thinking` block"
    return ""


def _loop(body: Body, facts: ModelFacts) -> str:
    """Within a tool loop manual thinking goes on from a thought, and no thought stands without thinking."""
    at, blocks = _last_answer(body)
    kinds = [str(block.get("type")) for block in blocks]
    told = _told(body)
    if told == "enabled" and kinds and kinds[0] not in _THOUGHTS:
        return (
            f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, "
            f"but found `{kinds[0]}`. When `thinking` is enabled, a final `assistant` message must start "
            "with a thinking block."
        )
    off = told == "disabled" or (not told and "disabled" in (facts.thinking or ("disabled",)))
    for index, kind in enumerate(kinds):
        if off and kind in _THOUGHTS:
            return (
                f"messages.{at}.content.{index}: When thinking is disabled, an `assistant` message in the "
                f"final position cannot contain `{kind}`."
            )
    return ""


def _breakpoints(body: Body, _: ModelFacts) -> str:
    blocks = [*(body.get("tools") or ()), *(block for _, block in _blocks(body))]
    blocks += [block for block in body.get("system") or () if isinstance(block, dict)]
    found = sum("cache_control" in block for block in blocks) + ("cache_control" in body)
    if found <= MOST_BREAKPOINTS:
        return ""
    return f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {found}."


_RULES: tuple[Callable[[Body, ModelFacts], str], ...] = (
    _roles,
    _maximum,
    _prefill,
    _sampling,
    _forced,
    _effort,
    _thinking,
    _signatures,
    _loop,
    _breakpoints,
)
"""In the order in which the vendor would complain."""
