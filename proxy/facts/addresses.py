"""Where the vendors answer, for upstreams that do not say a base URL: data, by dialect."""

import re
from collections.abc import Mapping

from proxy.table import DialectName

BASE_URLS: Mapping[DialectName, str] = {
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com/v1beta",
    "openai": "https://api.openai.com/v1",
}
"""A dialect that is missing here is spoken at no one address: the upstream must say."""

ENDPOINT = re.compile(r"(?:/chat/completions|(?<=/v1)/(?:messages|completions|responses))(?=/*$)")
"""What people copy along behind a base URL; whoever speaks a dialect adds it."""
