"""Game days: a table played against simulated upstreams that fail on a script, on a clock of their own.

    script.py     the file: load, acts, expectations (grammar.py, forms.py), judged against the table
    play.py       the composition: the real story, plan, breakers and limits, and no way out
    time.py       a loop whose time is free, a clock on it, dice from a seed
    stage.py      the `Upstreams` port: what the simulator says, in the process
    callers.py    the `Caller` port: who calls, reads, waits, leaves, and judges what was said
    record.py     everything that is worth remembering, as it happens
    figures.py    the record, added up
    verdict.py    the figures against what was expected

`fallthrough rehearse` is its only user. Nothing here opens a socket, a thread or a file, and the same seed
is the same rehearsal.
"""
