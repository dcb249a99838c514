"""LangChain's `ChatOpenAI` with another base URL: `invoke`, `ainvoke`, `astream`.

    pip install langchain-openai
    python examples/langchain/chat.py

FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
"""

import asyncio
import os

from langchain_openai import ChatOpenAI

chat = ChatOpenAI(
    model="gpt-4o-mini",
    base_url=os.environ.get("FALLTHROUGH_URL", "http://127.0.0.1:8080/v1"),
    api_key=os.environ.get("FALLTHROUGH_KEY", "any"),
    include_response_headers=True,
)


async def main() -> None:
    answer = await chat.ainvoke("Say goodbye.")
    print(f"ainvoke: {answer.content}")
    print("astream: ", end="")
    async for chunk in chat.astream("Count to three."):
        print(chunk.content, end="", flush=True)
    print()


answer = chat.invoke("Say hello.")
print(f"invoke: {answer.content}")
print(f"answered by {answer.response_metadata['headers']['x-fallthrough-upstream']}")
asyncio.run(main())
