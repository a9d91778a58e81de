"""The client of older releases of the PyPI package `mcp`, which knows one revision only: told and answering as client.py.

usage: older_client.py URL legacy
"""

import asyncio
import json
import sys
from datetime import timedelta

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from asked import before, cause

CALL_MAX = timedelta(seconds=5)


async def ask(url, asked, question):
    """One question on a connection of its own: an HTTP error ends the connection, and with it all that would come."""
    try:
        async with streamablehttp_client(url, headers=asked["headers"]) as (incoming, outgoing, _session_id):
            async with ClientSession(incoming, outgoing, read_timeout_seconds=CALL_MAX) as session:
                await session.initialize()
                return await question(session)
    except Exception as error:  # whatever a caller sees of a refusal is what is asked about
        return {"text": cause(error), "error": True}


async def listed(session):
    return {"tools": [tool.name for tool in (await session.list_tools()).tools]}


def call(one):
    async def called(session):
        result = await session.call_tool(one["tool"], one["arguments"])
        text = "\n".join(getattr(block, "text", "") for block in result.content)
        return {"text": text, "error": bool(result.isError)}

    return called


async def converse(url, asked):
    said = await ask(url, asked, listed)
    if "tools" not in said:
        return {"refused": said["text"]}
    said["calls"] = []
    for one in asked["calls"]:
        await before(one)
        said["calls"].append(await ask(url, asked, call(one)))
    return said


if __name__ == "__main__":
    print(json.dumps(asyncio.run(converse(sys.argv[1], json.load(sys.stdin)))))
