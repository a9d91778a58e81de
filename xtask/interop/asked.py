"""What the clients made with the PyPI package `mcp` have in common."""

import asyncio
import subprocess
import sys

COMMAND_MAX_S = 30


async def before(asked):
    """Does what must have happened before a call."""
    if "first" in asked:
        subprocess.run(asked["first"], check=True, timeout=COMMAND_MAX_S, stdout=sys.stderr)
    await asyncio.sleep(asked.get("pause_s", 0))


def cause(error):
    """What really happened: task groups wrap it."""
    while hasattr(error, "exceptions"):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
