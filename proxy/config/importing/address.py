"""Addresses as other systems write them → base URLs.

Often without a scheme, often without the path of the API or with an endpoint behind it, and at times with a
credential inside, which the table must never hold.
"""

import re
from urllib.parse import urlsplit

from proxy.facts.addresses import ENDPOINT
from proxy.facts.vendors import Vendor


def base_url(text: str, vendor: Vendor | None) -> str | None:
    """The base URL that `text` means, or None where it is none or may hold a secret."""
    given = text.strip()
    if "://" not in given:
        given = f"http://{given}"
    if not re.match(r"https?://", given, re.IGNORECASE):
        return None
    given = ENDPOINT.sub("", given.rstrip("/"))
    try:
        parts = urlsplit(given)
        usable = parts.hostname is not None and (parts.port or 1) > 0
    except ValueError:
        return None
    if not usable or parts.username is not None or parts.query or parts.fragment or "@" in given:
        return None
    if not re.fullmatch(r"[!-~]+", given) or "\\" in given or "${" in given:
        return None
    root = vendor.root if vendor is not None else ""
    return given + root if not parts.path else given
