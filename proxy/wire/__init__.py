"""The wire: bytes and dicts in, bytes and usage out. Pure; every dialect is one entry here."""

from collections.abc import Mapping

from proxy.wire.anthropic.dialect import Anthropic
from proxy.wire.dialect import Dialect
from proxy.wire.gemini import Gemini
from proxy.wire.openai import OpenAI
from proxy.wire.vllm import VLLM

DIALECTS: Mapping[str, Dialect] = {
    "anthropic": Anthropic(),
    "gemini": Gemini(),
    "openai": OpenAI(),
    "vllm": VLLM(),
}
