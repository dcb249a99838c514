"""An answer word by word. One that breaks off raises: it never looks like one that was finished.

    pip install openai
    python examples/openai_python/stream.py

FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
"""

import os
import sys

from openai import APIError, OpenAI

URL = os.environ.get("FALLTHROUGH_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("FALLTHROUGH_KEY", "any")

with OpenAI(base_url=URL, api_key=KEY) as client:
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Say hello."}],
        stream=True,
        stream_options={"include_usage": True},
    )
    try:
        for chunk in stream:
            if chunk.choices:
                print(chunk.choices[0].delta.content or "", end="", flush=True)
            elif chunk.usage:
                print(f"\n{chunk.usage.prompt_tokens} tokens in, {chunk.usage.completion_tokens} out")
    except APIError as error:
        # What was printed is real and not all of it. Keep it or ask anew: only the program knows which.
        sys.exit(f"\nThe answer broke off ({error.code}): {error.message}")
