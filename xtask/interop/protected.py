"""An MCP server that answers only to tokens of its authorization server, made with the PyPI package `mcp`.

usage: protected.py PORT ISSUER
"""

import sys

import jwt
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

PORT, ISSUER = int(sys.argv[1]), sys.argv[2]
RESOURCE = f"http://127.0.0.1:{PORT}/mcp"
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)


class Verifier:
    """Signature by the issuer's published keys; issuer, audience and time as they must be."""

    def __init__(self) -> None:
        self.keys = jwt.PyJWKClient(f"{ISSUER}/jwks")

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            key = self.keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(token, key, algorithms=["RS256"], audience=RESOURCE, issuer=ISSUER)
        except jwt.PyJWTError as error:
            print("refused:", error, file=sys.stderr, flush=True)
            return None
        scopes = claims.get("scope", "").split()
        return AccessToken(
            token=token,
            client_id=claims["client_id"],
            scopes=scopes,
            expires_at=claims["exp"],
            resource=RESOURCE,
            subject=claims.get("sub"),
            claims=claims,
        )


server = MCPServer(
    "protected",
    token_verifier=Verifier(),
    auth=AuthSettings(issuer_url=ISSUER, resource_server_url=RESOURCE, required_scopes=["notes"]),
)


@server.tool(annotations=READS)
def whoami() -> str:
    """Says for whom the token is that this call came with."""
    token = get_access_token()
    return f"token of {token.subject} for {token.client_id}"


@server.tool(annotations=READS)
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool(annotations=READS)
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


@server.tool(annotations=READS)
def double(a: int) -> int:
    """Doubles a number."""
    return 2 * a


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=PORT)
