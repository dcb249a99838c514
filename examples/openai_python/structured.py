"""An answer as an object: by JSON schema, and where that fails by a tool whose arguments are the object.

    pip install openai
    python examples/openai_python/structured.py

Not every upstream of a route holds its models to a schema, and not every model keeps to one. The proxy can
look after that (`check_answers: schema` on a route asks the next target); where it does not, a program can.
FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
"""

import os

from openai import BadRequestError, LengthFinishReasonError, OpenAI, pydantic_function_tool
from pydantic import BaseModel, ValidationError

URL = os.environ.get("FALLTHROUGH_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("FALLTHROUGH_KEY", "any")
ASK = [{"role": "user", "content": "Which city is the largest of France?"}]


class City(BaseModel):
    """What this program wants to know."""

    name: str
    people: int


def by_schema(client: OpenAI) -> City | None:
    answer = client.chat.completions.parse(model="gpt-4o-mini", messages=ASK, response_format=City)
    return answer.choices[0].message.parsed


def by_tool(client: OpenAI) -> City | None:
    answer = client.chat.completions.parse(
        model="gpt-4o-mini",
        messages=ASK,
        tools=[pydantic_function_tool(City)],
        tool_choice={"type": "function", "function": {"name": "City"}},
    )
    calls = answer.choices[0].message.tool_calls or ()
    return next((call.function.parsed_arguments for call in calls), None)


def largest(client: OpenAI) -> City:
    """The object by the first way that leads to one; a refusal is none."""
    for way in (by_schema, by_tool):
        try:
            if city := way(client):
                print(f"({way.__name__})")
                return city
        except (BadRequestError, LengthFinishReasonError, ValidationError) as error:
            print(f"({way.__name__} failed: {type(error).__name__})")
    raise SystemExit("No way led to an answer in this form.")


with OpenAI(base_url=URL, api_key=KEY) as client:
    print(repr(largest(client)))
