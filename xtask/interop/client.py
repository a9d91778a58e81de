"""The client of the PyPI package `mcp`: does what it is told on standard input, and prints what came of it.

usage: client.py URL MODE        MODE is legacy, auto, or a modern revision such as 2026-07-28

Standard input is one JSON object: {"headers": {…}, "calls": [{"tool": "add", "arguments": {…}}, …]}. Where something must
have happened before a call, it says "first": ["command", "argument", …] and "pause_s": 2 too. With "answers": true it
has every feature of a client, and answers what the server asks by them.
Standard output is one JSON object: {"revision": …, "tools": [names], "asked": [what the server asked]} and for each call
{"text": …, "error": true or false}; or {"refused": text} where the connection itself failed.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from answering import Answering
from asked import before, cause

CALL_MAX_S = 30


async def call(client, asked):
    await before(asked)
    try:
        result = await client.call_tool(asked["tool"], asked["arguments"], read_timeout_seconds=CALL_MAX_S)
    except Exception as error:  # whatever a caller sees of a refusal is what is asked about
        return {"text": cause(error), "error": True}
    text = "\n".join(getattr(block, "text", "") for block in result.content)
    return {"text": text, "error": bool(result.is_error)}


async def converse(url, mode, asked):
    answering = Answering()
    features = answering.callbacks() if asked.get("answers") else {}
    async with httpx2.AsyncClient(headers=asked["headers"], timeout=CALL_MAX_S) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode, **features) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            calls = [await call(client, one) for one in asked["calls"]]
            return {"revision": client.protocol_version, "tools": tools, "asked": answering.asked, "calls": calls}


def main():
    url, mode = sys.argv[1:]
    try:
        said = asyncio.run(converse(url, mode, json.load(sys.stdin)))
    except Exception as error:
        said = {"refused": cause(error)}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
