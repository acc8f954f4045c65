"""A proxy between us and a store, which counts requests and does what real stores do: throttle, cut, delay, forget.

It passes every request on as it came, with the address that it was signed for, unless a rule answers it or changes the
answer.
"""

import http.client
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.s3.servers import Store

HOP = {"connection", "transfer-encoding", "content-length", "expect", "keep-alive"}


@dataclass(frozen=True)
class Asked:
    """A request: its number, from 1, its method, its path with the query, and the key that signed it."""

    number: int
    method: str
    path: str
    key: str

    @property
    def kind(self) -> str:
        """The method, or LIST for a listing of objects."""
        return "LIST" if self.method == "GET" and ("list-type=" in self.path or "prefix=" in self.path) else self.method


@dataclass(frozen=True)
class Answer:
    """What is answered; `reset` cuts the connection after half of the body."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    reset: bool = False


def refusal(status: int, code: str, message: str = "") -> Answer:
    """Return an error as S3 words it."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message or code}</Message></Error>'
    )
    return Answer(status, body.encode(), [("Content-Type", "application/xml")])


@dataclass
class Between:
    """The proxy. before: answers in the store's place, or None. after: returns the answer that is sent on."""

    target: Store
    before: Callable[[Asked], Answer | None] = lambda asked: None
    after: Callable[[Asked, Answer], Answer] = lambda asked, answer: answer
    requests: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> "Between":
        lock = threading.Lock()
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one(self) -> None:
                signed = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
                with lock:
                    number = between.requests.total() + 1
                    asked = Asked(number, self.command, self.path, signed)
                    between.requests[asked.kind] += 1
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = between.before(asked)
                if answer is None:
                    answer = between.after(asked, self.passed_on(body))
                self.send(answer)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one  # noqa: N815

            def passed_on(self, body: bytes) -> Answer:
                store = http.client.HTTPConnection(between.target.endpoint.removeprefix("http://"), timeout=120)
                store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in HOP:
                        store.putheader(name, value)
                store.putheader("Content-Length", str(len(body)))
                store.endheaders(body)
                found = store.getresponse()
                answer = Answer(found.status, found.read(), found.getheaders())
                store.close()
                return answer

            def send(self, answer: Answer) -> None:
                self.send_response_only(answer.status)
                length = str(len(answer.body))
                for name, value in answer.headers:
                    if name.lower() == "content-length" and self.command == "HEAD":
                        length = value
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                if answer.status != 204:
                    self.send_header("Content-Length", length)
                self.end_headers()
                if answer.reset:
                    self.wfile.write(answer.body[: len(answer.body) // 2])
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                elif self.command != "HEAD":
                    self.wfile.write(answer.body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """A client that is gone is no news."""

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def store(self) -> Store:
        """The store as it is seen through the proxy."""
        return Store(f"http://127.0.0.1:{self.server.server_address[1]}", self.target.key, self.target.secret)


SLOW_DOWN = refusal(503, "SlowDown", "Please reduce your request rate.")
EXPIRED = refusal(400, "ExpiredToken", "The provided token has expired.")


@dataclass
class Weather:
    """What goes wrong by number of requests: every `throttled`th is told to slow down, every `cut`th is cut in the
    middle of its answer, every `late`th is answered `seconds` late; 0: none."""

    throttled: int = 0
    cut: int = 0
    late: int = 0
    seconds: float = 0.2
    faults: Counter[str] = field(default_factory=Counter)

    def over(self, between: Between) -> None:
        """Let it go wrong there."""
        between.before, between.after = self.before, self.after

    def before(self, asked: Asked) -> Answer | None:
        """Throttle or be late."""
        if self.late and asked.number % self.late == 0:
            self.faults["late"] += 1
            time.sleep(self.seconds)
        if self.throttled and asked.number % self.throttled == 0:
            self.faults["throttled"] += 1
            return SLOW_DOWN
        return None

    def after(self, asked: Asked, answer: Answer) -> Answer:
        """Cut."""
        if not self.cut or asked.number % self.cut:
            return answer
        self.faults["cut"] += 1
        return replace(answer, reset=True)


@dataclass
class Lag:
    """A listing that lags behind: what was written in the last `seconds` is not listed, what was deleted is, still."""

    seconds: float
    written: dict[str, float] = field(default_factory=dict)
    hidden: int = 0

    def before(self, asked: Asked) -> Answer | None:
        """Note when objects are written."""
        if asked.method in ("PUT", "POST"):
            self.written[unquote(urlsplit(asked.path).path).split("/", 2)[-1]] = time.monotonic()
        return None

    def after(self, asked: Asked, answer: Answer) -> Answer:
        """Take young objects out of listings."""
        if asked.kind != "LIST" or answer.status != 200:
            return answer

        def seen(entry: re.Match[bytes]) -> bytes:
            found = re.search(rb"<Key>(.*?)</Key>", entry[0])
            young = found and time.monotonic() - self.written.get(unquote(found[1].decode()), -1e9) < self.seconds
            self.hidden += bool(young)
            return b"" if young else entry[0]

        return replace(answer, body=re.sub(rb"<Contents>.*?</Contents>", seen, answer.body, flags=re.DOTALL))
