"""Calls as OpenAI would take them, made up by hypothesis: everything its shape allows, well formed."""

import itertools
import re

from hypothesis import strategies as st

PERSON = "jane@example.com"
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
PDF = "data:application/pdf;base64,JVBERi0xLjcKJeLjz9MKMSAwIG9iago="
IDS = ("call_abcdefghijk", "abcDEF123", f"chatcmpl-tool-{'0123456789abcdef' * 2}", "toolu_01A-b", "ünïcode")
ARGUMENTS = st.sampled_from(['{"city":"Paris"}', "{}", "", " ", '{"city":', "[1]"])
WEATHER = {"name": "weather", "description": "Tells it", "parameters": {"type": "object", "properties": {}}}
FUNCTION = st.sampled_from(
    [
        {"type": "function", "function": WEATHER},
        {"type": "function", "function": {**WEATHER, "strict": None}},
        {"type": "function", "function": {"name": "weather"}, "cache_control": {"type": "ephemeral"}},
        {"type": "function", "function": {"name": "weather", "parameters": None, "x_mine": 1}},
    ]
)
CUSTOM = {"type": "custom", "custom": {"name": "shell", "description": "Runs it"}}
NAMED = {"type": "function", "function": {"name": "weather"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}
CITY = {"name": "city", "schema": {"type": "object"}, "strict": True}
SCHEMA = {"type": "json_schema", "json_schema": CITY}
HOSTED = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
SHOWN = {"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}
NAMED_FILE = {"type": "file", "file": {"file_id": "file-1"}}

MEMBERS = {
    "audio": st.none(),
    "frequency_penalty": st.sampled_from([None, 0, 0.5, -2]),
    "logit_bias": st.sampled_from([None, {}, {"50256": -100}]),
    "logprobs": st.sampled_from([None, False, True]),
    "max_completion_tokens": st.sampled_from([None, 1, 64]),
    "max_tokens": st.sampled_from([None, 1, 4096]),
    "metadata": st.sampled_from([None, {"team": "a"}]),
    "modalities": st.sampled_from([None, ["text"], ["text", "audio"]]),
    "moderation": st.sampled_from([None, {"model": "omni"}]),
    "n": st.sampled_from([None, 1, 2]),
    "parallel_tool_calls": st.sampled_from([None, True, False]),
    "prediction": st.sampled_from([None, {"type": "content", "content": "x"}]),
    "presence_penalty": st.sampled_from([None, 0, 1]),
    "prompt_cache_key": st.sampled_from([None, "k"]),
    "prompt_cache_options": st.sampled_from([None, {"mode": "implicit"}]),
    "prompt_cache_retention": st.sampled_from([None, "24h"]),
    "reasoning_effort": st.sampled_from([None, "none", "minimal", "low", "medium", "high", "xhigh", "max"]),
    "response_format": st.sampled_from([None, {"type": "text"}, {"type": "json_object"}, SCHEMA]),
    "safety_identifier": st.sampled_from([None, PERSON]),
    "seed": st.sampled_from([None, 7]),
    "service_tier": st.sampled_from([None, "auto", "flex"]),
    "stop": st.sampled_from([None, "END", ["a", "b"]]),
    "store": st.sampled_from([None, True, False]),
    "stream_options": st.sampled_from([None, {"include_usage": True}, {"include_obfuscation": False}]),
    "temperature": st.sampled_from([None, 0, 0.7, 1, 2]),
    "thinking": st.sampled_from([{"type": "enabled", "budget_tokens": 1024}, {"type": "disabled"}]),
    "top_k": st.sampled_from([None, 40]),
    "top_logprobs": st.sampled_from([None, 0, 3]),
    "top_p": st.sampled_from([None, 1, 0.9]),
    "user": st.sampled_from([None, PERSON]),
    "verbosity": st.sampled_from([None, "low"]),
    "web_search_options": st.sampled_from([None, {}]),
    "chat_template": st.just("{{ evil }}"),
}


class Talk:
    """A conversation in the making, each of whose words is told apart."""

    def __init__(self, draw) -> None:
        self._draw = draw
        self._numbers = itertools.count()
        self.messages: list[dict] = []

    def one(self, *choices):
        return self._draw(st.sampled_from(choices))

    def often(self):
        return self._draw(st.booleans())

    def word(self):
        return f"word{next(self._numbers)}."

    def text_part(self):
        marked = {"prompt_cache_breakpoint": {"mode": "explicit"}} if self.one(False, False, True) else {}
        return {"type": "text", "text": self.word(), **marked}

    def text(self):
        if self.often():
            return self.word()
        return [self.text_part() for _ in range(self.one(1, 2))]

    def user(self):
        content = self.text()
        if isinstance(content, list) and self.one(False, False, False, True):
            content.append(self.one(HOSTED, SHOWN, SOUND, FILE, NAMED_FILE))
        named = {"name": "jane"} if self.one(False, True) else {}
        self.messages.append({"role": "user", "content": content, **named})

    def system(self):
        self.messages.append({"role": self.one("system", "developer"), "content": self.text()})

    def said(self):
        """An assistant's message as an SDK writes it back."""
        message = {"role": "assistant", "content": self.text()}
        extra = {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None}
        message |= self.one({}, extra, {"reasoning_content": "hm"}, {"x_mine": 1})
        if self.one(*[False] * 9, True):
            message |= {"content": None, "refusal": self.word()}
        self.messages.append(message)

    def function(self):
        return {"name": "weather", "arguments": self._draw(ARGUMENTS)}

    def called(self):
        """An assistant that called tools, and all their results."""
        ids = self._draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True))
        calls = [{"id": name, "type": "function", "function": self.function()} for name in ids]
        if self.one(*[False] * 19, True):
            calls[0] = {"id": ids[0], "type": "custom", "custom": {"name": "shell", "input": "ls"}}
        message = {"role": "assistant", "tool_calls": calls}
        message |= self.one({}, {"content": None}, {"content": self.word()}, {"content": ""})
        message |= self.one({}, {"refusal": None, "annotations": []}, {"reasoning_content": "hm"})
        self.messages.append(message)
        for name in ids:
            self.messages.append({"role": "tool", "tool_call_id": name, "content": self.text()})

    def called_of_old(self):
        """The same in the form of before there were tools."""
        call = {"name": "weather", "arguments": "{}"}
        self.messages.append({"role": "assistant", "content": None, "function_call": call})
        self.messages.append({"role": "function", "name": "weather", "content": self.word()})


@st.composite
def calls(draw):
    """A body, and the words that its messages hold."""
    talk = Talk(draw)
    for _ in range(talk.one(0, 1, 2)):
        talk.system()
    talk.user()
    for _ in range(talk.one(0, 1, 2)):
        for _ in range(talk.one(0, 1)):
            talk.one(talk.called, talk.called_of_old)()
        talk.said()
        for _ in range(talk.one(1, 1, 2)):
            talk.user()
    if talk.one(False, False, True):
        talk.one(talk.called, talk.called_of_old, talk.said)()
    names = draw(st.lists(st.sampled_from(sorted(MEMBERS)), max_size=6, unique=True))
    body = {"model": "chat", "messages": talk.messages, "stream": draw(st.sampled_from([True, False, None]))}
    body |= {name: draw(MEMBERS[name]) for name in names}
    body |= draw(offers())
    return body, re.findall(r"word\d+\.", str(talk.messages))


@st.composite
def offers(draw):
    """Nothing, tools with a choice among them, or the functions of old."""
    kind = draw(st.sampled_from(["nothing", "tools", "functions"]))
    if kind == "nothing":
        return draw(st.sampled_from([{}, {"tools": None}]))
    if kind == "functions":
        choice = draw(st.sampled_from([None, "auto", "none", {"name": "weather"}]))
        return {"functions": [WEATHER], **({} if choice is None else {"function_call": choice})}
    tools = [draw(FUNCTION)] + ([CUSTOM] if draw(st.sampled_from([False] * 4 + [True])) else [])
    choices = [None, "auto", "none", "required", NAMED, ALLOWED]
    return {"tools": tools, "tool_choice": draw(st.sampled_from(choices))}
