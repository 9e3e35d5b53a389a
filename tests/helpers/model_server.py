"""A real HTTP server on loopback that speaks the chat-completions and batch APIs, and misbehaves as a test says."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Does:
    """What the server does with one request: waits, then drops the connection or sends a status and a body.

    `drips` are the seconds before each byte of the body.
    """

    status: int = 200
    body: bytes | dict[str, Any] = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    drops: bool = False
    drips: float = 0.0


@dataclass(frozen=True)
class Asked:
    """One request: what it asks about (picture or text, without remarks), and how often that was asked before."""

    about: str
    before: int
    body: dict[str, Any]


Script = Callable[[Asked], Does]


def says(answer: Any, finish: str = "stop", usage: Any = None, raw: bool = False, **message: Any) -> Does:
    """An ordinary answer: `answer` as JSON, or as it is where it is text already or `raw`."""
    content = answer if isinstance(answer, str) or answer is None or raw else json.dumps(answer)
    used = {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320} if usage is None else usage
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": content, "refusal": None, **message},
    }
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06", "choices": [choice]}
    return Does(body=body | ({} if used == "none" else {"usage": used}))


def fails(status: int, message: str = "no", code: str | None = None, **headers: str) -> Does:
    """An error as OpenAI writes it."""
    body = {"error": {"message": message, "type": "some_error", "param": None, "code": code}}
    return Does(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class ModelServer:
    """Counts what it is asked, and does what its script says."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.counts: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.together = 0
        self.most_together = 0
        self.lock = threading.Lock()
        self.url = ""
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.drops_batches = False

    def finish(self, status: str = "completed", leave_out: Container[int] = (), **changes: Any) -> None:
        """Run every batch that waits; requests at the places of `leave_out` expire."""
        for batch in self.batches.values():
            if batch["status"] != "in_progress":
                continue
            results: dict[str, list[str]] = {"output": [], "error": []}
            for place, line in enumerate(self.files[batch["input_file_id"]].splitlines()):
                kind, text = self._result(json.loads(line), expired=place in leave_out)
                results[kind].append(text)
            for kind, lines in results.items():
                name = f"{kind}-{batch['id']}"
                self.files[name] = "\n".join(lines) + "\n"
                batch[f"{kind}_file_id"] = name if lines else None
            batch.update({"status": status} | changes)

    def _result(self, request: dict[str, Any], expired: bool) -> tuple[str, str]:
        if expired:
            error = {"code": "batch_expired", "message": "too late"}
            return "error", json.dumps({"custom_id": request["custom_id"], "response": None, "error": error})
        about = _about(request["body"])
        does = self.script(Asked(about, self.counts[about], request["body"]))
        self.counts[about] += 1
        response = {"status_code": does.status, "request_id": "r", "body": does.body}
        line = {"id": "x", "custom_id": request["custom_id"], "response": response, "error": None}
        return "output" if does.status == 200 else "error", json.dumps(line)


@contextmanager
def serving(script: Script) -> Iterator[ModelServer]:
    """A server that runs inside the block."""
    state = ModelServer(script)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(state: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.partition("?")[0].split("/")[2:]
            if name[0] == "files":
                self.send(Does(body=state.files[name[1]].encode()))
            elif len(name) == 1:
                self.send(Does(body={"object": "list", "data": list(state.batches.values()), "has_more": False}))
            else:
                self.send(Does(body=state.batches[name[1]]))

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("/files"):
                number = f"file-{len(state.files)}"
                state.files[number] = content[content.index(b'{"custom_id"') : content.rindex(b"}") + 1].decode()
                self.send(Does(body={"id": number, "object": "file"}))
                return
            body = json.loads(content)
            if self.path.endswith("/batches"):
                number = f"batch-{len(state.batches)}"
                state.batches[number] = body | {"id": number, "object": "batch", "status": "in_progress"}
                if state.drops_batches:
                    self.close_connection = True
                    self.connection.close()
                else:
                    self.send(Does(body=state.batches[number]))
                return
            about = _about(body)
            with state.lock:
                asked = Asked(about, state.counts[about], body)
                state.counts[about] += 1
                state.requests.append(body)
                state.together += 1
                state.most_together = max(state.most_together, state.together)
            try:
                self.answer(asked, state.script(asked))
            finally:
                with state.lock:
                    state.together -= 1

        def answer(self, asked: Asked, does: Does) -> None:
            time.sleep(does.wait)
            if does.drops:
                self.close_connection = True
                self.connection.close()
                return
            self.send(does)

        def send(self, does: Does) -> None:
            content = does.body if isinstance(does.body, bytes) else json.dumps(does.body).encode()
            self.send_response(does.status)
            for name, value in ({"content-type": "application/json"} | does.headers).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            if not does.drips:
                self.wfile.write(content)
                return
            for byte in content:
                time.sleep(does.drips)
                self.wfile.write(bytes([byte]))

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                return  # the client has gone, as some tests want

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler


def _about(body: dict[str, Any]) -> str:
    parts = body["messages"][0]["content"]
    pictures = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return str(pictures[0] if pictures else parts[0]["text"])
