"""Several questions at once with the async client: two whole answers and a stream, over one client.

    pip install openai
    python examples/openai_python/async_client.py

FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
"""

import asyncio
import os

from openai import AsyncOpenAI

URL = os.environ.get("FALLTHROUGH_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("FALLTHROUGH_KEY", "any")


async def whole(client: AsyncOpenAI, question: str) -> str:
    answer = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": question}],
    )
    return answer.choices[0].message.content or ""


async def streamed(client: AsyncOpenAI, question: str) -> str:
    stream = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": question}],
        stream=True,
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


async def main() -> None:
    async with AsyncOpenAI(base_url=URL, api_key=KEY) as client:
        answers = await asyncio.gather(
            whole(client, "Say hello."),
            whole(client, "Say goodbye."),
            streamed(client, "Count to three."),
        )
    for answer in answers:
        print(answer)


asyncio.run(main())
