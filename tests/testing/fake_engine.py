"""What a Docker engine answers testcontainers, as far as a container's start and end need it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ID = "c0ffee" * 10
Answer = tuple[int, bytes]


class FakeEngine:
    """Keeps what it is asked to create, and refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.has_image = True
        self.refuses: dict[str, str] = {}
        """Why, by ``pull``, ``create`` or ``start``."""
        self.created: list[dict[str, Any]] = []
        self.removed = 0
        self.status = "running"
        self.says = ""
        self.begin: Callable[[dict[str, Any]], None] = lambda created: None
        """What runs in the container."""
        self.end: Callable[[], None] = lambda: None
        self.url = ""

    @property
    def environment(self) -> dict[str, str]:
        """Of the container that was created last."""
        pairs = (each.partition("=") for each in self.created[-1]["Env"])
        return {name: value for name, _, value in pairs}

    @property
    def bindings(self) -> dict[str, list[dict[str, str]]]:
        """Its ports, as Docker writes them."""
        found: dict[str, list[dict[str, str]]] = self.created[-1]["HostConfig"]["PortBindings"]
        return found

    def answer(self, verb: str, path: str, body: bytes) -> Answer:
        """By what stands behind the API's version."""
        what = re.sub(r"^/v[\d.]+", "", path).partition("?")[0]
        for pattern, answer in (
            (r"GET /version", self._version),
            (r"GET /images/.+/json", self._image),
            (r"POST /images/create", self._pull),
            (r"POST /containers/create", lambda: self._create(body)),
            (rf"GET /containers/{ID}/json", self._inspect),
            (rf"POST /containers/{ID}/start", self._start),
            (rf"GET /containers/{ID}/logs", lambda: (200, self.says.encode())),
            (rf"DELETE /containers/{ID}", self._remove),
        ):
            if re.fullmatch(pattern, f"{verb} {what}"):
                return answer()
        return _json(501, message=f"the fake does not know {verb} {what}")

    def _version(self) -> Answer:
        return _json(200, ApiVersion="1.47", MinAPIVersion="1.24", Version="27.0.0")

    def _image(self) -> Answer:
        if self.has_image:
            return _json(200, Id="sha256:abc", RepoTags=[])
        return _json(404, message="No such image")

    def _pull(self) -> Answer:
        if "pull" in self.refuses:
            return _json(500, message=self.refuses["pull"])
        self.has_image = True
        return _json(200, status="pulled")

    def _create(self, body: bytes) -> Answer:
        if "create" in self.refuses:
            return _json(500, message=self.refuses["create"])
        self.created.append(json.loads(body))
        return _json(201, Id=ID, Warnings=[])

    def _inspect(self) -> Answer:
        return _json(200, Id=ID, Name="/it", Config={"Tty": True}, State={"Status": self.status})

    def _start(self) -> Answer:
        if "start" in self.refuses:
            return _json(500, message=self.refuses["start"])
        self.begin(self.created[-1])
        return 204, b""

    def _remove(self) -> Answer:
        self.removed += 1
        self.end()
        return 204, b""


def _json(code: int, /, **answer: object) -> Answer:
    return code, json.dumps(answer).encode()


@contextmanager
def serving(engine: FakeEngine) -> Iterator[FakeEngine]:
    """The engine at its ``url``, which is that of ``DOCKER_HOST``."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = engine.answer(self.command, self.path, body)
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_DELETE = _handle

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        engine.url = f"tcp://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield engine
        finally:
            server.shutdown()
            thread.join()
