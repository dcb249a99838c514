"""The room of decisions: pure functions and small state machines.

`relay.py` asks it what to do, `book.py` what to hold. Time and chance are handed in; nothing here
awaits, logs, reads a clock or knows a vendor.
"""
