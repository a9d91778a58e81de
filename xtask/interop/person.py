"""Plays the person before a browser: opens the page of a login, approves it in a terminal, and goes where the page leads.

usage: person.py URL REMIT…        REMIT… is the command line of `remit`, up to its first word

The browser is sent to the client's own page in the end, and goes there.
"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PATIENCE_S = 30


class Stays(urllib.request.HTTPRedirectHandler):
    """A browser that says where it is sent instead of going there."""

    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(Stays)


def get(url):
    """The status, where it is sent, and the page."""
    try:
        with OPENER.open(url, timeout=PATIENCE_S) as answer:
            return answer.status, None, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers.get("location"), answer.read().decode()


def approve(remit):
    waiting = json.loads(subprocess.run([*remit, "approvals"], check=True, capture_output=True).stdout)["approvals"]
    for login in waiting:
        subprocess.run([*remit, "approve", login["id"], "--why", "to be called"], check=True, capture_output=True)


def login(url, remit):
    """Where the client's own page is, with the code."""
    status, waits, page = get(url)
    if waits is None:
        raise SystemExit(f"the authority answers {status}: {page}")
    approve(remit)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        status, back, page = get(waits)
        if back is not None:
            return back
        time.sleep(0.1)
    raise SystemExit(f"the page still says: {page}")


if __name__ == "__main__":
    get(login(sys.argv[1], sys.argv[2:]))
