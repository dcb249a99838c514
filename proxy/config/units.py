"""Words with units → numbers: durations, addresses, URLs, zones, money.

Pure readers used by `grammar.py`. Each raises `PydanticCustomError`, whose `remedy` says what to
write; units are always written, so a bare number of seconds is a fault.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic_core import PydanticCustomError

from proxy.config.faults import nearest
from proxy.config.settings import Address
from proxy.facts.addresses import ENDPOINT
from proxy.place import FORM, Place, database_of

NANO = 1_000_000_000
ORIGIN = r"^https?://([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[1-9][0-9]{0,4})?$"
_PORTS_MEANT: Mapping[str, str] = {"http": ":80", "https": ":443"}
DURATION = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
SQLITE = "sqlite:///"

_SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_DAY_S = 86400.0
_LONGEST_S = 366 * _DAY_S
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_MONEY_MAX = Decimal(1_000_000_000)


def wrong(problem: str, remedy: str) -> PydanticCustomError:
    """A value that cannot be read. Braces are doubled: pydantic fills templates."""
    return PydanticCustomError("wrong", "{problem}", {"problem": problem, "remedy": remedy})


def whole(value: Any) -> Any:
    """A whole number is not a yes or no, though Python thinks so."""
    if isinstance(value, bool):
        raise wrong("not a whole number", "write digits, such as 50_000")
    return value


def duration(value: Any) -> float:
    """`250ms`, `2s`, `5m`, `1h`, `90d` in seconds."""
    seconds = _seconds(value)
    if not 0 < seconds <= _LONGEST_S:
        raise wrong("a duration out of range", "write more than 0 and at most 366d")
    return seconds


def duration_or_off(value: Any) -> float | None:
    """The same; None for `off`."""
    return None if value is False or value == "off" else duration(value)


def reading(value: Any) -> float:
    """The same for how often something is read: from four times a second to once a minute."""
    seconds = _seconds(value)
    if not 0.25 <= seconds <= 60.0:
        raise wrong("a time between two readings out of range", "write from 250ms to 1m")
    return seconds


def retention(value: Any) -> float:
    """The same for how long rows are kept: from a day to ten years."""
    seconds = _seconds(value)
    if not _DAY_S <= seconds <= 3660 * _DAY_S:
        raise wrong("a time to keep rows out of range", "write from 1d to 3660d")
    return seconds


def _seconds(value: Any) -> float:
    if not isinstance(value, bool) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", str(value)):
        raise wrong("a duration without a unit", f"write {value}s, or ms, m, h, d")
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise wrong("not a duration", "write a number and a unit, such as 250ms, 2s, 5m, 1h or 90d")
    return float(found[1]) * _SECONDS[found[2]]


def zone(value: Any) -> str:
    """The name of a time zone that this machine knows, such as `Europe/Paris`."""
    remedy = "write a name such as UTC or Europe/Paris"
    if not isinstance(value, str):
        raise wrong("not a time zone", remedy)
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, ZoneInfoNotFoundError):
        close = nearest(value, available_timezones())
        raise wrong("not a time zone", f"did you mean `{close}`?" if close else remedy) from None


def address(value: Any) -> Address | None:
    """`host:port`, `[::1]:port`, `unix:/path`; None for `off` or nothing."""
    if value is None or value is False or value == "off":
        return None
    if isinstance(value, str) and value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path.strip("/") or "\0" in path:
            raise wrong("a Unix socket without a path", "write unix:/run/fallthrough.sock")
        return Address(path=Path(path))
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not _HOST.fullmatch(host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise wrong("not an address", "write HOST:PORT such as 127.0.0.1:8080, or unix:/path")
    if int(port) > 65535:
        raise wrong("a port out of range", "write a port from 1 to 65535")
    return Address(host.strip("[]"), int(port))


def ledger(value: Any) -> Place:
    """`sqlite:///relative`, `sqlite:////absolute`, or a PostgreSQL database's URL."""
    try:
        database = database_of(value) if isinstance(value, str) else None
    except ValueError as error:
        raise wrong(str(error), f"write {FORM}") from None
    if database is not None:
        return database
    if not isinstance(value, str) or not value.startswith(SQLITE):
        raise wrong("not a ledger", f"write sqlite:///var/ledger.db (four slashes: absolute), or {FORM}")
    path = value.removeprefix(SQLITE)
    if not path or path.endswith("/") or re.search(r"[?#\0]", path):
        raise wrong("a ledger without a plain file name", "write sqlite:///var/ledger.db")
    return Path(path)


def base_url(value: Any) -> str:
    """An `http` or `https` URL that holds no secret and ends without a slash."""
    if not isinstance(value, str) or not re.match(r"https?://", value, re.IGNORECASE):
        raise wrong("not an http URL", "write http://HOST:PORT/v1 or https://HOST/v1")
    if not value.isascii() or re.search(r"[\s\x00-\x20\x7f\\]", value):
        raise wrong("a URL with characters that may not stand there", "write it percent-encoded")
    try:
        parts = urlsplit(value)
        host = parts.hostname
        port = parts.port
    except ValueError:
        raise wrong("not an http URL", "write http://HOST:PORT/v1 or https://HOST/v1") from None
    if parts.username is not None or parts.password is not None:
        raise wrong("a URL with credentials in it", "write the key under api_key")
    if "?" in value or "#" in value:
        raise wrong("a URL with a query or fragment", "end the URL with its path")
    if not host or port == 0:
        raise wrong("a URL without a host", "write http://HOST:PORT/v1 or https://HOST/v1")
    if (endpoint := ENDPOINT.search(value)) is not None:
        raise wrong("a URL with its endpoint, which is added to it", f"end it before {endpoint[0]}")
    return value.rstrip("/")


def webhook(value: Any) -> str:
    """An `https` address, with whatever secrets it holds; `http` only on this machine."""
    remedy = "write an https:// address, such as ${ALERT_WEBHOOK:-}"
    if value == "":
        return ""
    if not isinstance(value, str) or not re.fullmatch(r"[!-\[\]-~]{1,2048}", value):
        raise wrong("not an https address", remedy)
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        private = Address(host, parts.port).private
    except ValueError:
        raise wrong("not an https address", remedy) from None
    if not host or parts.username is not None or "#" in value:
        raise wrong("an address without a host, or with credentials or a fragment", remedy)
    if parts.scheme != "https" and not (parts.scheme == "http" and private):
        raise wrong("not an https address", f"{remedy}; http only for this machine")
    return value


def origin(value: Any) -> str:
    """An origin exactly as browsers say it, since it is compared as it stands (RFC 6454, 6.2)."""
    remedy = "write SCHEME://HOST in lower case and no path, such as https://chat.example.com"
    if not isinstance(value, str) or not re.fullmatch(ORIGIN, value):
        raise wrong("not an origin", remedy)
    if value.endswith(_PORTS_MEANT[value.partition(":")[0]]):
        raise wrong("an origin with the port that its scheme means", "leave the port out, as browsers do")
    return value


def nano_usd(value: Any) -> int:
    """Dollars, exact to a nano-dollar, as an integer number of them."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong("not an amount of dollars", "write a number such as 0.15")
    try:
        dollars = Decimal(str(value).replace("_", ""))
    except InvalidOperation:
        raise wrong("not an amount of dollars", "write a number such as 0.15") from None
    if not dollars.is_finite() or dollars > _MONEY_MAX:
        raise wrong("an amount out of range", f"write at most {_MONEY_MAX}")
    if dollars < 0:
        raise wrong("a negative amount", "write 0 or more")
    nano = dollars * NANO
    if nano != nano.to_integral_value():
        raise wrong("finer than a nano-dollar", "write at most 9 decimals")
    return int(nano)
