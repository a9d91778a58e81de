"""The client of the PyPI package `mcp` without a token: it finds the authority by itself, a person lets it in, and it calls.

usage: login.py URL CLIENT TOOL ARGUMENTS REMIT…        ARGUMENTS is one JSON object, REMIT… the command line of `remit`

Prints one JSON object: {"text": …, "error": …, "asked": how often a person was asked}.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlparse

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

from asked import cause
from person import login

BACK = "http://127.0.0.1:4711/callback"


class Memory:
    """What the client keeps: at first its name alone."""

    def __init__(self, client):
        self.tokens = None
        self.client = OAuthClientInformationFull(
            client_id=client, redirect_uris=[BACK], token_endpoint_auth_method="none"
        )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Person:
    def __init__(self, browse):
        self.browse, self.asked, self.back = browse, 0, ""

    async def sent(self, url):
        self.asked += 1
        self.back = await asyncio.to_thread(self.browse, url)

    async def came_back(self):
        query = {name: values[0] for name, values in parse_qs(urlparse(self.back).query).items()}
        return AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss"))


async def converse(url, client, tool, arguments, browse):
    """`browse` is the person before the browser: it takes a URL, and says where the browser is sent in the end."""
    person = Person(browse)
    metadata = OAuthClientMetadata(redirect_uris=[BACK], token_endpoint_auth_method="none", client_name="login.py")
    auth = OAuthClientProvider(url, metadata, Memory(client), person.sent, person.came_back)
    async with httpx2.AsyncClient(auth=auth, timeout=60) as http:
        async with Client(streamable_http_client(url, http_client=http), mode="auto") as mcp:
            result = await mcp.call_tool(tool, arguments)
    text = "\n".join(getattr(block, "text", "") for block in result.content)
    return {"text": text, "error": bool(result.is_error), "asked": person.asked}


def main():
    url, client, tool, arguments, *remit = sys.argv[1:]
    try:
        said = asyncio.run(converse(url, client, tool, json.loads(arguments), lambda to: login(to, remit)))
    except Exception as error:
        said = {"text": cause(error), "error": True, "asked": 0}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
