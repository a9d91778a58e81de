"""People and workloads of an identity provider, before an authority that trusts it; the client is the PyPI package `mcp`.

usage: federate.py WAY WHO PROVIDER AUTHORITY URL CLIENT TOOL ARGUMENTS        ARGUMENTS is one JSON object

WAY is `person` (the client finds the authority by itself, and WHO logs in at the provider and allows it), `job` (a CI job of
the repository WHO brings a token of its own), `id-jag` (the client brings the provider's word for WHO) or `id-jag-again` (it
brings the same one twice). Prints one JSON object: {"text": …}.
"""

import asyncio
import base64
import hashlib
import html
import http.cookiejar
import json
import re
import secrets
import sys
import urllib.error
import urllib.parse
import urllib.request

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from asked import cause
from login import converse
from person import PATIENCE_S, Stays

BACK = "http://127.0.0.1:4712/callback"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


class Stuck(Exception):
    """A page that leads nowhere."""


class Browser:
    """A person's browser: it keeps cookies, follows redirects, and sends the forms that it is shown."""

    def __init__(self, who):
        self.who = who
        self.opener = urllib.request.build_opener(Stays, urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def ask(self, url, form=None):
        """The page, and where it leads."""
        request = urllib.request.Request(url, data=form and urllib.parse.urlencode(form).encode())
        if form:
            parts = urllib.parse.urlsplit(url)
            request.add_header("origin", f"{parts.scheme}://{parts.netloc}")
        try:
            with self.opener.open(request, timeout=PATIENCE_S) as answer:
                page, to = answer.read().decode(), None
        except urllib.error.HTTPError as answer:
            page, to = answer.read().decode(), answer.headers.get("location")
        if onward := re.search(r'http-equiv="refresh" content="0;url=([^"]*)"', page):
            to = html.unescape(onward.group(1))
        return page, to and urllib.parse.urljoin(url, to)

    def log_in(self, url):
        """Where the client's own page is, with the code."""
        for _ in range(20):
            page, to = self.ask(url)
            if to is None and 'name="login"' in page:
                page, to = self.ask(url, {"login": self.who})
            elif to is None and 'name="form"' in page:
                secret = re.search(r'name="form" value="([^"]*)"', page).group(1)
                page, to = self.ask(url, {"form": secret, "word": "allow", "why": "to be called"})
            if to is None:
                raise Stuck(page)
            if urllib.parse.urlsplit(to).path == "/callback":
                return to
            url = to
        raise Stuck("the browser is sent around without end")


def post(url, form, basic=None):
    request = urllib.request.Request(url, data=urllib.parse.urlencode(form).encode())
    if basic:
        pair = ":".join(urllib.parse.quote(half, safe="") for half in basic)
        request.add_header("authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as answer:
        return json.load(answer)


def job_token(who, provider, authority):
    """What a CI system would give its job."""
    claims = {"sub": f"repo:{who}", "aud": authority, "repository": who}
    request = urllib.request.Request(f"{provider}/sign", data=json.dumps({"header": {"typ": "JWT"}, "claims": claims}).encode())
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)["token"]


def id_jag(who, provider, authority, url, client):
    """The client lets the person log in at the provider, and exchanges the ID token for the provider's word."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "client_id": client, "redirect_uri": BACK, "response_type": "code", "scope": "openid groups profile", "nonce": "n",
        "code_challenge": challenge, "code_challenge_method": "S256",
    }
    back = Browser(who).log_in(f"{provider}/auth?{urllib.parse.urlencode(query)}")
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["code"][0]
    basic = (client, "x")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": verifier}
    signed_in = post(f"{provider}/token", form, basic)
    form = {
        "grant_type": EXCHANGE, "subject_token": signed_in["id_token"], "audience": authority, "resource": url,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag",
    }
    return post(f"{provider}/token", form, basic)["access_token"]


async def call(url, token, tool, arguments):
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=60) as http_client:
        async with Client(streamable_http_client(url, http_client=http_client), mode="auto") as mcp:
            result = await mcp.call_tool(tool, arguments)
    return "\n".join(getattr(block, "text", "") for block in result.content)


def brought(assertion, authority, url, client, tool, arguments):
    form = {"grant_type": JWT_BEARER, "assertion": assertion, "resource": url, "client_id": client, "why": "to be called"}
    given = post(f"{authority}/token", form)
    if "error" in given:
        return json.dumps(given)
    return asyncio.run(call(url, given["access_token"], tool, arguments))


def main():
    way, who, provider, authority, url, client, tool, arguments = sys.argv[1:]
    arguments = json.loads(arguments)
    try:
        if way == "person":
            said = asyncio.run(converse(url, client, tool, arguments, Browser(who).log_in))["text"]
        elif way == "job":
            said = brought(job_token(who, provider, authority), authority, url, client, tool, arguments)
        else:
            word = id_jag(who, provider, authority, url, client)
            said = brought(word, authority, url, client, tool, arguments)
            if way == "id-jag-again":
                said = brought(word, authority, url, client, tool, arguments)
    except Exception as error:
        said = cause(error)
    print(json.dumps({"text": said}))


if __name__ == "__main__":
    main()
