"""What stands in a ledger where nothing can stand: before its beginning, or beside what there is one of.

No proxy writes such lines, and whoever goes through rows from the first, or from the stub, does not come
across them: neither the chain nor a replay would show that they were put there. `replay.py` asks for
whoever verifies, `anchor.py` for a start, and `retention.py` before it signs anything.
"""

from collections.abc import Mapping

from proxy.store.reader import Reader, only

STRAYS: Mapping[str, str] = {
    "past WHERE NOT EXISTS (SELECT 1 FROM stub WHERE id = 1)": "kept of pruned rows, and no row was pruned",
    "stub WHERE id <> 1": "a stub beside the one that there may be",
    "state WHERE id <> 1": "a state beside the one that there is",
    "rows WHERE seq < 1": "a row before the first",
    "segments WHERE number < 1": "a root before that of the first segment",
}
"""Where in a table nothing can be, and what is wrong with a line there."""


def strays(reader: Reader) -> list[str]:
    """Every such place that is not empty."""
    found = []
    for where, words in STRAYS.items():
        count = only(reader.select(f"SELECT count(*) FROM {where}"))  # noqa: S608 - our own words
        if count:
            found.append(f"{where.partition(' ')[0]}: {count} put there by nobody of ours ({words})")
    return found
