"""The model of one Claude Code session, played from a script: a stand-in for the Messages API on loopback.

usage: messages.py SCRIPT JOURNAL        the first line of its output is the port on which it listens

SCRIPT is a JSON list of turns, each of them what the model answers next:

    {"say": "text"}
    {"use": [{"id": "toolu_1", "name": "mcp__files__read", "input": {"path": "a"}}]}

and, where something must have happened before it answers, "first": ["command", "argument", …] and "pause_s": 2.
The turn is known from the results in the conversation that the request carries, so a request that is sent again gets
the same answer. A request that offers no tools (a title, a summary) is answered with "ok" and is no turn.

JOURNAL gets one JSON line for each turn that is asked for: its number, the names of the tools that the model is offered,
and the results that were sent back.
"""

import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

ANSWER_MAX_S = 30


class Play:
    """The script, and how far it was played."""

    def __init__(self, script, journal):
        with open(script, encoding="utf-8") as file:
            self.turns = json.load(file)
        self.journal = journal
        self.prepared = set()
        self.lock = Lock()

    def answer(self, request):
        if not request.get("tools"):
            return "aside", {"say": "ok"}
        given = list(results(request["messages"]))
        number = self.reached({result["id"] for result in given})
        turn = self.turns[number] if number < len(self.turns) else {"say": "done"}
        with self.lock:
            self.note({"turn": number, "tools": [tool["name"] for tool in request["tools"]], "results": given})
            if number not in self.prepared:
                self.prepared.add(number)
                self.prepare(turn)
        return number, turn

    def reached(self, answered):
        """The first turn of which not every tool was answered yet."""
        for number, turn in enumerate(self.turns):
            if not answered.issuperset(use["id"] for use in turn.get("use", [{"id": None}])):
                return number
        return len(self.turns)

    def note(self, line):
        with open(self.journal, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @staticmethod
    def prepare(turn):
        if "first" in turn:
            subprocess.run(turn["first"], check=True, timeout=ANSWER_MAX_S, stdout=sys.stderr)
        time.sleep(turn.get("pause_s", 0))


def results(messages):
    """The tool results in a conversation: which call, whether it failed, and what the model reads of it."""
    for message in messages:
        blocks = message["content"] if isinstance(message["content"], list) else []
        for block in blocks:
            if block.get("type") == "tool_result":
                content = block.get("content", "")
                if isinstance(content, list):
                    content = "\n".join(part.get("text", "") for part in content)
                yield {"id": block["tool_use_id"], "error": bool(block.get("is_error")), "text": content}


def blocks_of(turn):
    if "use" in turn:
        return [{"type": "tool_use", **use} for use in turn["use"]], "tool_use"
    return [{"type": "text", "text": turn["say"]}], "end_turn"


def events(message, blocks):
    """The message as it is streamed."""
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}}
    yield {"type": "message_stop"}


class Handler(BaseHTTPRequestHandler):
    play = None

    def log_message(self, *_words):
        pass

    def do_HEAD(self):
        self.give(200, "application/json", b"")

    def do_GET(self):
        self.give(200, "application/json", b'{"data":[],"has_more":false}')

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            return self.give(200, "application/json", b'{"input_tokens":1}')
        if path != "/v1/messages":
            return self.give(404, "application/json", b'{"type":"error","error":{"type":"not_found_error","message":"no"}}')
        request = json.loads(body)
        number, turn = self.play.answer(request)
        blocks, stop = blocks_of(turn)
        # Messages of one id are parts of one message to the client.
        message = {
            "id": f"msg_{number}", "type": "message", "role": "assistant", "model": request.get("model", ""),
            "content": blocks, "stop_reason": stop, "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        if not request.get("stream"):
            return self.give(200, "application/json", json.dumps(message).encode())
        stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events(message, blocks))
        return self.give(200, "text/event-stream", stream.encode())

    def give(self, status, kind, body):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    Handler.play = Play(*sys.argv[1:])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
