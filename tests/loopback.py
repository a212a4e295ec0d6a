"""The network of the tests: a server on this machine's loopback address, and an address without one."""

import contextlib
import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class Server(http.server.ThreadingHTTPServer):
    """Answers each request with `answer(handler)`, and counts them; `release` is set when it closes."""

    daemon_threads = True

    def __init__(self, answer: Callable[["Handler"], None]) -> None:
        self.answer, self.requests, self.release = answer, 0, threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        with contextlib.suppress(ConnectionError):  # a client that gave up
            self.server.answer(self)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(answer: Callable[[Handler], None]) -> Iterator[Server]:
    with Server(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()
            thread.join()


def send(
    handler: Handler, body: bytes, header: str = "Content-Length", value: str | None = None, kind: str = ""
) -> None:
    handler.send_response(200)
    handler.send_header(header, str(len(body)) if value is None else value)
    if kind:
        handler.send_header("Content-Type", kind)
    handler.end_headers()
    handler.wfile.write(body)


def no_address() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def empty_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let `folder` be torch's, and no proxy be on the way; the place where weights will be cached."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TORCH_HOME", str(folder))
    return folder / "hub" / "checkpoints"
