"""The room with databases: the ledger, caller keys, and what can be read from them.

`ledger.py` is the way in for the story, `writer.py` its thread, `journal.py` its rules;
`batched.py` has its tables in memory, and `tables.py` says what they promise;
`chain.py` hashes rows, `heads.py` and `anchor.py` tell how far the chain reached, `seal.py` signs that;
`verify.py` proves that nothing was changed and `replay.py` that rows and balances agree; `report.py`
reads beside a running proxy, `export.py` for one person; `keys.py` is the way in for keys, persons and
letters, `callers.py` holds who may call, `subjects.py` for whom, `acts.py` what is made of a letter.
Beneath all of it lie `sqlite/` and `postgres/`, of which `databases.py` reads the one that is asked for. No
driver's error, row or handle leaves this room.
"""

from proxy.store.fault import StoreRefused
from proxy.store.keys import open_keys
from proxy.store.ledger import open_ledger

__all__ = ["StoreRefused", "open_keys", "open_ledger"]
