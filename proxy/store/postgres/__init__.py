"""PostgreSQL beneath the ledger and the keys: many replicas, one truth.

`database.py` connects and makes the tables, `session.py` speaks to one connection from a thread. The
ledger's tables are in the schema `fallthrough`, whatever must be forgettable in `fallthrough_keys`, so
that a backup can leave the latter out. Nothing else in the program knows of the driver.
"""
