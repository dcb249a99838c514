"""A call that may be sent twice and is paid for once: `idempotency-key`.

    pip install openai
    python examples/openai_python/idempotency.py

Make the key when the work is made (the id of a job, of a message), not when it is sent. Who then sends it
again, after a timeout or a crash, gets the answer of the first call for ten minutes, and pays for no second
one within a day.
FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
"""

import os
from uuid import uuid4

from openai import OpenAI

URL = os.environ.get("FALLTHROUGH_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("FALLTHROUGH_KEY", "any")

job = f"job-{uuid4()}"
with OpenAI(base_url=URL, api_key=KEY) as client:
    for _ in range(2):
        raw = client.chat.completions.with_raw_response.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Say hello."}],
            extra_headers={"idempotency-key": job},
        )
        paid = "from memory" if raw.headers.get("x-fallthrough-replayed") == "true" else "by a call"
        print(f"{raw.parse().id} {paid}")
