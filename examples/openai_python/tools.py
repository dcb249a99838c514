"""A tool: the model asks for it, this program runs it, the model answers with what came.

    pip install openai
    python examples/openai_python/tools.py

The two turns may be answered by different upstreams; each is spoken to in its own dialect.
FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
"""

import json
import os

from openai import OpenAI

URL = os.environ.get("FALLTHROUGH_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("FALLTHROUGH_KEY", "any")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "What the weather is like in a city just now.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
]


def get_weather(city: str) -> dict[str, object]:
    """A stand-in for what your program knows."""
    return {"city": city, "celsius": 21}


with OpenAI(base_url=URL, api_key=KEY) as client:
    messages = [{"role": "user", "content": "What is the weather like in Lyon?"}]
    first = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
    asked = first.choices[0].message
    messages.append(asked)
    for call in asked.tool_calls or ():
        # The arguments are the model's words: they are parsed, and never trusted.
        result = get_weather(**json.loads(call.function.arguments))
        print(f"{call.function.name}({call.function.arguments}) -> {result}")
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
    last = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)

print(last.choices[0].message.content)
