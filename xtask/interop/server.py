"""A small MCP server over Streamable HTTP in both eras, made with the PyPI package `mcp`.

usage: server.py PORT
"""

import sys

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

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


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
