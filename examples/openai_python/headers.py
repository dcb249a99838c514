"""Who answered, after how many tries, and what is left of the limits: the headers of an answer.

    pip install openai
    python examples/openai_python/headers.py

Log `x-request-id`: it finds the call in `fallthrough usage --calls`, in the log and in the ledger.
FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
"""

import os

from openai import OpenAI

URL = os.environ.get("FALLTHROUGH_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("FALLTHROUGH_KEY", "any")

with OpenAI(base_url=URL, api_key=KEY) as client:
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Say hello."}],
    )

print(raw.parse().choices[0].message.content)
for name, value in raw.headers.items():
    if name.startswith(("x-fallthrough-", "x-ratelimit-", "x-request-id")):
        print(f"{name}: {value}")
if raw.headers["x-fallthrough-attempts"] != "1":
    print("Somebody failed before this answer came, and nobody had to notice.")
