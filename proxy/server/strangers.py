"""Who may be behind a request to the admin listener: this machine's people, or a page in their browser.

Nobody is asked who he is there, because only this machine reaches it unless told otherwise. So a browser on
this machine must not be made to read it for a stranger: the dashboard and what explains calls ask here first.
`/metrics` does not, for scrapers come by whatever name. It never looks at a key or a body.
"""

from ipaddress import ip_address

from proxy.errors import Refused, Told
from proxy.server.visit import Visit

OURS = frozenset({"same-origin", "none"})
"""What `Sec-Fetch-Site` says of requests that no other site's page made a browser send."""


def refuse_strangers(visit: Visit, admin_host: str | None, *, page: bool = False) -> None:
    """Raises `Refused` 403 where a stranger may be behind the browser.

    `admin_host`: the listener's name as the settings have it. `page`: it is what another site may link to.
    """
    headers = visit.request.headers
    over_a_path = isinstance(visit.line.transport.get_extra_info("sockname"), str | bytes)
    if not over_a_path and not _is_ours(headers.get("host") or "", admin_host):
        raise _refused("This is at an address or at localhost, not at that name.", "wrong_host")
    if not page and headers.get("sec-fetch-site") not in {*OURS, None}:
        raise _refused("Another site's page may not ask for this.", "cross_site")


def _is_ours(host: str, own: str | None) -> bool:
    """Whether no DNS server can have made a browser believe that this name is ours."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.removeprefix("[").removesuffix("]").lower()
    if name == "localhost" or (own is not None and name == own.lower()):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _refused(message: str, code: str) -> Refused:
    return Refused(Told(403, message, "permission_error", code, should_retry=False))
