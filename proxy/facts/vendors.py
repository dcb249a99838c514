"""Who can be written down as an upstream, and what other systems call them: data, for `fallthrough import`.

A vendor is here if one of the dialects speaks to it. What other systems know that none does is in
`UNSPOKEN`, with the reason. Nobody asks this table on the way of a call.
"""

from collections.abc import Mapping

from msgspec import Struct

from proxy.facts.addresses import BASE_URLS
from proxy.facts.environment import ENVIRONMENT
from proxy.table import DialectName


class Vendor(Struct, frozen=True):
    """Somebody who answers."""

    name: str
    """Of the upstream."""
    key: str
    """The variable that its own programs read the key from."""
    base_url: str | None = None
    """None: everybody's is another, so that it has to be said."""
    dialect: DialectName = "openai"
    words: frozenset[str] = frozenset()
    """Further names, in lower case: values of PROVIDER, prefixes of models."""
    stems: tuple[str, ...] = ()
    """Further beginnings of variables; the first is its name."""
    root: str = ""
    """The path of its OpenAI-shaped API, where addresses are usually written without."""
    capabilities: str | None = None
    """The known server that it is, where its address does not tell."""
    keyless: bool = False
    """Whether it usually has no key: it runs in the house."""

    @property
    def default_model(self) -> str | None:
        """What it is asked for where nobody says; None: it has to be said."""
        known = (each.default_model for each in ENVIRONMENT if each.name == self.name)
        return next(known, None) if not self.keyless else None

    @property
    def models(self) -> tuple[str, ...]:
        """Its well-known models; of what runs in a house nobody knows any."""
        known = (each.models for each in ENVIRONMENT if each.name == self.name)
        return next(known, ()) if not self.keyless else ()


VENDORS: tuple[Vendor, ...] = (
    Vendor(
        "openai",
        "OPENAI_API_KEY",
        BASE_URLS["openai"],
        words=frozenset({"gpt", "chatgpt", "open_ai", "open-ai"}),
        stems=("CHATGPT", "GPT"),
    ),
    Vendor(
        "anthropic",
        "ANTHROPIC_API_KEY",
        BASE_URLS["anthropic"],
        "anthropic",
        words=frozenset({"claude"}),
        stems=("CLAUDE",),
    ),
    Vendor(
        "gemini",
        "GEMINI_API_KEY",
        BASE_URLS["gemini"],
        "gemini",
        words=frozenset({"google", "google_ai", "google-ai", "googleai", "google_genai"}),
        stems=("GOOGLE_GENERATIVE_AI", "GOOGLE_AI", "GOOGLE"),
    ),
    Vendor("deepseek", "DEEPSEEK_API_KEY", "https://api.deepseek.com"),
    Vendor(
        "mistral",
        "MISTRAL_API_KEY",
        "https://api.mistral.ai/v1",
        words=frozenset({"mistralai", "mistral_ai"}),
    ),
    Vendor("groq", "GROQ_API_KEY", "https://api.groq.com/openai/v1"),
    Vendor("xai", "XAI_API_KEY", "https://api.x.ai/v1", words=frozenset({"grok"}), stems=("GROK",)),
    Vendor(
        "together",
        "TOGETHERAI_API_KEY",
        "https://api.together.xyz/v1",
        words=frozenset({"together_ai", "togetherai"}),
        stems=("TOGETHERAI", "TOGETHER_AI"),
    ),
    Vendor("openrouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
    Vendor(
        "fireworks",
        "FIREWORKS_AI_API_KEY",
        "https://api.fireworks.ai/inference/v1",
        words=frozenset({"fireworks_ai"}),
        stems=("FIREWORKS_AI",),
    ),
    Vendor("perplexity", "PERPLEXITYAI_API_KEY", "https://api.perplexity.ai", stems=("PERPLEXITYAI",)),
    Vendor("cerebras", "CEREBRAS_API_KEY", "https://api.cerebras.ai/v1"),
    Vendor(
        "deepinfra",
        "DEEPINFRA_API_KEY",
        "https://api.deepinfra.com/v1/openai",
        words=frozenset({"deep_infra"}),
    ),
    Vendor(
        "nvidia", "NVIDIA_NIM_API_KEY", "https://integrate.api.nvidia.com/v1", words=frozenset({"nvidia_nim"})
    ),
    Vendor(
        "vllm",
        "VLLM_API_KEY",
        dialect="vllm",
        words=frozenset({"hosted_vllm", "self_hosted", "selfhosted"}),
        stems=("HOSTED_VLLM",),
        root="/v1",
        keyless=True,
    ),
    Vendor(
        "ollama",
        "OLLAMA_API_KEY",
        "http://127.0.0.1:11434/v1",
        words=frozenset({"ollama_chat", "local"}),
        root="/v1",
        capabilities="ollama",
        keyless=True,
    ),
    Vendor(
        "lm-studio", "LM_STUDIO_API_KEY", words=frozenset({"lm_studio"}), stems=("LM_STUDIO",), keyless=True
    ),
)
"""In the order in which they are tried where nobody says."""

SHAPED: frozenset[str] = frozenset(
    {
        "openai_like",
        "custom_openai",
        "litellm_proxy",
        "llamafile",
        "xinference",
        "infinity",
        "openai_compatible",
    }
)
"""Prefixes of models at servers that resemble OpenAI, at whatever address is said."""

AZURE = "Azure OpenAI is addressed by deployment and api-version, which no dialect here does"
UNSPOKEN: Mapping[str, str] = {
    "azure": AZURE,
    "azure_ai": "Azure AI Foundry is addressed in a way of its own",
    "azure_text": AZURE,
    "bedrock": "Bedrock signs each request with AWS credentials, which no dialect here does",
    "sagemaker": "SageMaker signs each request with AWS credentials, which no dialect here does",
    "vertex_ai": "Vertex AI takes Google Cloud tokens; the gemini dialect speaks to the Gemini API",
    "vertex": "Vertex AI takes Google Cloud tokens; the gemini dialect speaks to the Gemini API",
    "cohere": "Cohere's own API is spoken by no dialect here",
    "cohere_chat": "Cohere's own API is spoken by no dialect here",
    "huggingface": "only the OpenAI-shaped router of Hugging Face is spoken here",
    "replicate": "Replicate's predictions are spoken by no dialect here",
    "watsonx": "watsonx is spoken by no dialect here",
    "databricks": "Databricks is spoken by no dialect here",
    "text-completion-openai": "only chat completions are relayed",
    "palm": "PaLM is no more",
}
"""Prefixes of models, and words for providers, that nothing here speaks to."""

BARE: tuple[tuple[str, str], ...] = (
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("claude-", "anthropic"),
    ("gemini-", "gemini"),
    ("deepseek-", "deepseek"),
    ("mistral-", "mistral"),
    ("codestral-", "mistral"),
)
"""How models begin that are written without a prefix, and whose they are."""


def by_word(word: str) -> Vendor | None:
    """The vendor that other systems call `word`."""
    text = word.strip().lower()
    return next((each for each in VENDORS if text == each.name or text in each.words), None)


def by_model(model: str) -> Vendor | None:
    """Whose a model is that is written without a prefix."""
    name = next((name for start, name in BARE if model.startswith(start)), None)
    return None if name is None else by_word(name)
