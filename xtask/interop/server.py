"""A small MCP server over Streamable HTTP in both eras, made with the PyPI package `mcp`.

usage: server.py PORT
"""

import sys
from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from mcp.types import CreateMessageResult, ListRootsResult, SamplingMessage, TextContent, ToolAnnotations
from pydantic import BaseModel

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)

server = MCPServer("arithmetic")


@server.tool(annotations=READS)
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool(annotations=READS)
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


@server.tool(annotations=READS)
def negate(a: int) -> int:
    """Negates a number."""
    return -a


@server.tool(annotations=READS)
def double(a: int) -> int:
    """Doubles a number."""
    return 2 * a


class Name(BaseModel):
    name: str


def who() -> Elicit[Name]:
    return Elicit("Who is there?", Name)


def words() -> Sample:
    text = TextContent(type="text", text="How is a number greeted?")
    return Sample([SamplingMessage(role="user", content=text)], max_tokens=16)


def where() -> ListRoots:
    return ListRoots()


@server.tool(annotations=READS)
def introduce(
    name: Annotated[Name, Resolve(who)],
    greeting: Annotated[CreateMessageResult, Resolve(words)],
    folders: Annotated[ListRootsResult, Resolve(where)],
) -> str:
    """Asks the user, the model and the client: before it answers where the revision knows that, and else in between."""
    return f"{name.name}; {greeting.content.text}; {folders.roots[0].name}"


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
