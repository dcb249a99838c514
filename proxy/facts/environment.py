"""Upstreams that an environment variable alone can switch on, as data.

`proxy/config/environment.py` builds a table out of these when there is no file. The models are the
names people ask for; a model's own upstream comes first for it, and every other upstream answers
with its default model.
"""

from msgspec import Struct

from proxy.facts.addresses import BASE_URLS
from proxy.table import DialectName


class KnownUpstream(Struct, frozen=True):
    """An upstream that needs no more than one variable."""

    name: str
    switch: str
    """The variable that turns it on: its key, or its base URL where `base_url` is None."""
    dialect: DialectName
    base_url: str | None
    default_model: str
    """What it answers with when asked for a model it does not list; `NAME_MODEL` overrides it."""
    models: tuple[str, ...]
    """Its well-known models, by the name that they have there; a model set by variable is added."""
    key: str | None = None
    """The variable of an optional key, where the switch is not the key."""

    @property
    def model_variable(self) -> str:
        """The variable that overrides `default_model`."""
        return f"{self.name.upper()}_MODEL"


ENVIRONMENT: tuple[KnownUpstream, ...] = (
    KnownUpstream(
        name="openai",
        switch="OPENAI_API_KEY",
        dialect="openai",
        base_url="https://api.openai.com/v1",
        default_model="gpt-4o-mini",
        models=(
            "gpt-4o",
            "gpt-4o-mini",
            "gpt-4.1",
            "gpt-4.1-mini",
            "gpt-4.1-nano",
            "gpt-5",
            "gpt-5-mini",
            "gpt-5-nano",
            "o3",
            "o4-mini",
        ),
    ),
    KnownUpstream(
        name="anthropic",
        switch="ANTHROPIC_API_KEY",
        dialect="anthropic",
        base_url=BASE_URLS["anthropic"],
        default_model="claude-haiku-4-5",
        models=(
            "claude-opus-5",
            "claude-opus-4-8",
            "claude-opus-4-5",
            "claude-sonnet-5",
            "claude-sonnet-4-6",
            "claude-sonnet-4-5",
            "claude-haiku-4-5",
        ),
    ),
    KnownUpstream(
        name="deepseek",
        switch="DEEPSEEK_API_KEY",
        dialect="openai",
        base_url="https://api.deepseek.com",
        default_model="deepseek-chat",
        models=("deepseek-chat", "deepseek-reasoner"),
    ),
    KnownUpstream(
        name="mistral",
        switch="MISTRAL_API_KEY",
        dialect="openai",
        base_url="https://api.mistral.ai/v1",
        default_model="mistral-small-latest",
        models=(
            "mistral-large-latest",
            "mistral-medium-latest",
            "mistral-small-latest",
            "codestral-latest",
        ),
    ),
    KnownUpstream(
        name="gemini",
        switch="GEMINI_API_KEY",
        dialect="gemini",
        base_url=BASE_URLS["gemini"],
        default_model="gemini-2.5-flash",
        models=(
            "gemini-2.5-pro",
            "gemini-2.5-flash",
            "gemini-2.5-flash-lite",
            "gemini-3-pro-preview",
            "gemini-3-flash-preview",
        ),
    ),
    KnownUpstream(
        name="vllm",
        switch="VLLM_URL",
        dialect="vllm",
        base_url=None,
        default_model="mistralai/Mistral-7B-Instruct-v0.3",
        models=("mistralai/Mistral-7B-Instruct-v0.3",),
        key="VLLM_API_KEY",
    ),
)
"""In the order they are tried unless `FALLTHROUGH_ORDER` says otherwise."""
