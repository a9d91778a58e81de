"""Stands before a program that is an MCP server while it is registered: to the program, its client declares every feature.

usage: declares.py PORT|- COMMAND …        over Streamable HTTP on that port of loopback, or over standard streams

`remit server add` declares no feature, and some servers offer the tools that ask for one only to a client that has it.
Nothing else is changed, and no call of a client passes here.
"""

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

FEATURES = {"elicitation": {}, "sampling": {}, "roots": {}}


class Program:
    """The real server."""

    def __init__(self, command):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        """The answer to a message; none where it has no id."""
        message = json.loads(line)
        if message["method"] == "initialize":
            message["params"]["capabilities"] = FEATURES
        print(json.dumps(message), file=self.child.stdin, flush=True)
        while "id" in message:
            said = json.loads(self.child.stdout.readline())
            if said.get("id") == message["id"] and "method" not in said:
                return json.dumps(said)


class Handler(BaseHTTPRequestHandler):
    program = None

    def log_message(self, *_words):
        pass

    def do_POST(self):
        answer = self.program.ask(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(202 if answer is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer or "")))
        self.end_headers()
        self.wfile.write((answer or "").encode())


def main():
    port, *command = sys.argv[1:]
    program = Program(command)
    if port != "-":
        Handler.program = program
        server = HTTPServer(("127.0.0.1", int(port)), Handler)
        print("ready", flush=True)
        server.serve_forever()
    for line in sys.stdin:
        answer = program.ask(line)
        if answer is not None:
            print(answer, flush=True)
    program.child.kill()


if __name__ == "__main__":
    main()
