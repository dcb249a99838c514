"""The room that listens: HTTP in, OpenAI's shapes out. `app.py` builds a `Service` and opens `Listeners`."""
