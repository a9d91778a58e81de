"""The side of the client that a server asks something: it answers everything, and remembers how it was asked."""

from mcp.types import CreateMessageResult, ElicitResult, ListRootsResult, Root, TextContent


class Answering:
    """What was asked, in turn: the method, the words that a user or a model would read, and the source they are said to
    have."""

    def __init__(self):
        self.asked = []

    def heard(self, method, words, meta):
        self.asked.append({"method": method, "words": words, "source": (meta or {}).get("dev.remit/source")})

    async def elicited(self, _context, params):
        self.heard("elicitation/create", params.message, params.meta)
        return ElicitResult(action="accept", content={"name": "the answer of a user"})

    async def sampled(self, _context, params):
        self.heard("sampling/createMessage", params.system_prompt or "", params.meta)
        words = TextContent(type="text", text="the answer of a model")
        return CreateMessageResult(role="assistant", content=words, model="scripted")

    async def listed(self, _context):
        self.heard("roots/list", "", None)
        return ListRootsResult(roots=[Root(uri="file:///srv/interop", name="the folder of a user")])

    def callbacks(self):
        return {
            "elicitation_callback": self.elicited,
            "sampling_callback": self.sampled,
            "list_roots_callback": self.listed,
        }
