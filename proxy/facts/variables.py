"""How programs that call vendors name their environment variables: data, for `fallthrough import env`.

A name is read as *prefix, who, what*: `AI_` `OPENAI` `API_KEY`, `LLM_` `FALLBACK` `MODEL`, `AI_` `TIMEOUT`.
*Who* is a vendor (`vendors.py`), a place in the order, or nobody; *what* is a row of `SAYS`. Names of
limits are read word by word: `AI_TENANT_DAILY_TOKEN_LIMIT`.
"""

from collections.abc import Mapping
from enum import StrEnum

PREFIXES = ("AI_", "LLM_", "GENAI_", "")
"""The empty one last: without any, only names that cannot be another program's are read."""


class Says(StrEnum):
    """What a variable says."""

    KEY = "key"
    URL = "url"
    MODEL = "model"
    CONNECT = "connect"
    FIRST = "first_token"
    ANSWER = "answer"
    TOTAL = "total"
    PROVIDER = "provider"
    ORDER = "order"
    FAILURES = "failures"
    OPEN = "open"
    RETRIES = "retries"
    MAX_TOKENS = "max_tokens"
    DEFAULT = "default"
    STREAMS = "streams"
    ORGANIZATION = "organization"
    RETENTION = "retention"
    CONSENT = "consent"
    MARKS = "marks"
    WEBHOOK = "webhook"


PLACES: Mapping[str, int] = {
    "PRIMARY": 0,
    "MAIN": 0,
    "FALLBACK": 1,
    "SECONDARY": 1,
    "BACKUP": 1,
    "TERTIARY": 2,
}
"""Words for who comes when."""

SAYS: Mapping[str, Says] = {
    "API_KEY": Says.KEY,
    "APIKEY": Says.KEY,
    "KEY": Says.KEY,
    "SECRET_KEY": Says.KEY,
    "API_TOKEN": Says.KEY,
    "BASE_URL": Says.URL,
    "API_BASE": Says.URL,
    "API_BASE_URL": Says.URL,
    "API_URL": Says.URL,
    "URL": Says.URL,
    "HOST": Says.URL,
    "ENDPOINT": Says.URL,
    "MODEL": Says.MODEL,
    "MODEL_NAME": Says.MODEL,
    "DEFAULT_MODEL": Says.MODEL,
    "CHAT_MODEL": Says.MODEL,
    "TIMEOUT": Says.ANSWER,
    "TIMEOUT_SECONDS": Says.ANSWER,
    "TIMEOUT_S": Says.ANSWER,
    "TIMEOUT_MS": Says.ANSWER,
    "REQUEST_TIMEOUT": Says.ANSWER,
    "REQUEST_TIMEOUT_SECONDS": Says.ANSWER,
    "REQUEST_TIMEOUT_MS": Says.ANSWER,
    "READ_TIMEOUT": Says.ANSWER,
    "CONNECT_TIMEOUT": Says.CONNECT,
    "STREAM_TIMEOUT": Says.FIRST,
    "FIRST_TOKEN_TIMEOUT": Says.FIRST,
    "TOTAL_TIMEOUT": Says.TOTAL,
    "MAX_RETRIES": Says.RETRIES,
    "RETRIES": Says.RETRIES,
    "RETRY_COUNT": Says.RETRIES,
    "MAX_TOKENS": Says.MAX_TOKENS,
    "MAX_OUTPUT_TOKENS": Says.MAX_TOKENS,
    "TEMPERATURE": Says.DEFAULT,
    "TOP_P": Says.DEFAULT,
    "MAX_CONCURRENCY": Says.STREAMS,
    "MAX_CONCURRENT_REQUESTS": Says.STREAMS,
    "ORGANIZATION": Says.ORGANIZATION,
    "ORG_ID": Says.ORGANIZATION,
    "PROVIDER": Says.PROVIDER,
    "DEFAULT_PROVIDER": Says.PROVIDER,
    "PROVIDERS": Says.ORDER,
    "PROVIDER_ORDER": Says.ORDER,
    "PROVIDER_CHAIN": Says.ORDER,
    "PROVIDER_PRIORITY": Says.ORDER,
    "FALLBACK_ORDER": Says.ORDER,
    "FALLBACK_CHAIN": Says.ORDER,
    "FALLBACK_PROVIDERS": Says.ORDER,
    "CIRCUIT_BREAKER_FAILURES": Says.FAILURES,
    "CIRCUIT_BREAKER_FAILURE_THRESHOLD": Says.FAILURES,
    "CIRCUIT_BREAKER_THRESHOLD": Says.FAILURES,
    "CIRCUIT_BREAKER_MAX_FAILURES": Says.FAILURES,
    "CIRCUIT_BREAKER_FAIL_MAX": Says.FAILURES,
    "CIRCUIT_BREAKER_TIMEOUT": Says.OPEN,
    "CIRCUIT_BREAKER_TIMEOUT_SECONDS": Says.OPEN,
    "CIRCUIT_BREAKER_TIMEOUT_MS": Says.OPEN,
    "CIRCUIT_BREAKER_RESET_TIMEOUT": Says.OPEN,
    "CIRCUIT_BREAKER_RESET_TIMEOUT_MS": Says.OPEN,
    "CIRCUIT_BREAKER_RECOVERY_TIMEOUT": Says.OPEN,
    "CIRCUIT_BREAKER_COOLDOWN": Says.OPEN,
    "CIRCUIT_BREAKER_COOLDOWN_SECONDS": Says.OPEN,
    "LOG_RETENTION_DAYS": Says.RETENTION,
    "RETENTION_DAYS": Says.RETENTION,
    "DATA_RETENTION_DAYS": Says.RETENTION,
    "HISTORY_RETENTION_DAYS": Says.RETENTION,
    "REQUIRE_CONSENT": Says.CONSENT,
    "CONSENT_REQUIRED": Says.CONSENT,
    "QUOTA_ALERT_THRESHOLD": Says.MARKS,
    "QUOTA_ALERT_THRESHOLDS": Says.MARKS,
    "ALERT_THRESHOLD": Says.MARKS,
    "ALERT_THRESHOLDS": Says.MARKS,
    "ALERT_WEBHOOK": Says.WEBHOOK,
    "ALERT_WEBHOOK_URL": Says.WEBHOOK,
}
"""What stands behind the prefix, and behind a vendor or a place if one is named."""

WITHOUT_PREFIX: Mapping[str, Says] = {
    "FALLTHROUGH_ORDER": Says.ORDER,
    "RGPD_RETENTION_DAYS": Says.RETENTION,
    "GDPR_RETENTION_DAYS": Says.RETENTION,
}
"""What is read of names that say neither AI nor a vendor."""

UNSERVED: Mapping[str, str] = {
    "EMBEDDING": "embeddings are not served",
    "EMBEDDINGS": "embeddings are not served",
    "IMAGE": "pictures are not made here",
    "WHISPER": "sound is not transcribed here",
    "STT": "sound is not transcribed here",
    "TTS": "speech is not made here",
    "MODERATION": "moderation is not served",
    "RERANK": "reranking is not served",
}
"""Purposes of a model that no route has."""

REASONS: Mapping[str, str] = {
    "CIRCUIT_BREAKER_ENABLED": "there always is a breaker",
    "CIRCUIT_BREAKER_HALF_OPEN_MAX_CALLS": "one probe at a time asks whether an upstream is back",
    "CIRCUIT_BREAKER_HALF_OPEN_REQUESTS": "one probe at a time asks whether an upstream is back",
    "CIRCUIT_BREAKER_SUCCESS_THRESHOLD": "one answer closes the breaker",
    "CACHE_ENABLED": "answers are not cached",
    "CACHE_TTL": "answers are not cached",
    "ENABLED": "a route without an upstream that is on is a fault",
    "FALLBACK_ENABLED": "the targets of a route are the fallback; take out those that should not be",
    "STREAMING_ENABLED": "every call may be streamed",
    "STREAMING": "every call may be streamed",
    "STREAM": "every call may be streamed",
    "SYSTEM_PROMPT": "prompts are the caller's",
    "API_VERSION": "no dialect here addresses by version",
}
"""Why some are left out; behind the prefix, as in `SAYS`."""

SCOPES: Mapping[str, str] = {
    "TENANT": "tenant",
    "ORG": "tenant",
    "ORGANIZATION": "tenant",
    "CLIENT": "tenant",
    "CUSTOMER": "tenant",
    "TEAM": "tenant",
    "USER": "user",
    "KEY": "key",
}
WINDOWS: Mapping[str, str] = {
    "MINUTE": "minute",
    "HOUR": "hour",
    "HOURLY": "hour",
    "DAY": "day",
    "DAILY": "day",
    "WEEK": "week",
    "WEEKLY": "week",
    "MONTH": "month",
    "MONTHLY": "month",
}
UNITS: Mapping[str, str] = {
    "TOKEN": "tokens",
    "TOKENS": "tokens",
    "REQUEST": "requests",
    "REQUESTS": "requests",
    "CALLS": "requests",
    "MESSAGES": "requests",
    "USD": "usd",
    "COST": "usd",
    "SPEND": "usd",
    "BUDGET": "usd",
}
SHORT: Mapping[str, tuple[str, str]] = {"RPM": ("requests", "minute"), "TPM": ("tokens", "minute")}
FILLERS = frozenset({"LIMIT", "LIMITS", "QUOTA", "MAX", "PER", "RATE", "CAP"})
"""The words that names of limits are made of."""
