"""A whole answer with the OpenAI SDK. Nothing but `base_url` tells that a proxy answers.

    pip install openai
    python examples/openai_python/whole.py

FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
"""

import os

from openai import OpenAI

URL = os.environ.get("FALLTHROUGH_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("FALLTHROUGH_KEY", "any")

with OpenAI(base_url=URL, api_key=KEY) as client:
    answer = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Say hello."}],
    )

print(answer.choices[0].message.content)
if answer.usage:
    print(f"{answer.usage.prompt_tokens} tokens in, {answer.usage.completion_tokens} out")
