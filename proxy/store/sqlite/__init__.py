"""SQLite beneath the ledger and the keys: the default, for one proxy and its own disk.

`database.py` opens the ledger's file and `keyfile.py` that of the keys, `keys.py` and `mailbox.py` are
what stands in the latter. Nothing else in the program knows of these files' formats or their driver's errors.
"""
