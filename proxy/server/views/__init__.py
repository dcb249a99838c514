"""The views of what the proxy does: a caller's own on the public listener, the dashboard on the admin one.

`sight.py` is what one process sees of itself, `glance.py` what the ledger says, `fresh.py` lets either be
worked out once a second for all who ask; `told.py` makes the documents of it, `own.py` answers callers,
`dashboard.py` the operator, with the three files in `assets/`. Nothing here changes anything, and nothing
here shows a prompt, an answer, a credential, an address of an upstream or an end person's pseudonym.
"""
