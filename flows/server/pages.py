"""Show published cards, Data Docs and catalog pages in a browser: a small server that only reads.

`python -m evenkeel.flows.server.pages --host 127.0.0.1 --port 4201`. It shows `/<dataset>/<path in its folder>` of the
datasets that the Prefect server at PREFECT_API_URL knows, and nothing else of the machine. Pages on an object store are
read and handed on; for other files there it answers with a presigned link.
"""

import argparse
import html
import mimetypes
import os
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from evenkeel.flows.known import folders
from evenkeel.infra import storage

PAGES = {".html", ".json", ".css", ".svg", ".png", ".md", ".txt", ".yaml"}
"""Kinds of files that are handed on from an object store; others are presigned."""
PRESIGNED_SECONDS = 3600
KNOWN_SECONDS = 5.0
LARGEST = 64 << 20
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline' 'self'; img-src 'self' data:; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
LIST = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Datasets</title><style>:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }}</style></head>
<body><main><h1>Datasets</h1>{shown}</main></body></html>
"""
Folders = Callable[[], dict[str, str]]


class Pages(BaseHTTPRequestHandler):
    """Answers GET and HEAD for files of known datasets."""

    server_version = "evenkeel"
    sys_version = ""

    def __init__(self, known: Folders, *args: object) -> None:
        self.known = known
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with a file, a list of the datasets, a presigned link, or 404."""
        path = unquote(urlsplit(self.path).path).lstrip("/")
        dataset, _, inside = path.partition("/")
        if not dataset:
            self._answer(_list(sorted(self.known())).encode(), "text/html; charset=utf-8")
            return
        root = self.known().get(dataset)
        if root is None or not is_inside(inside):
            self.send_error(HTTPStatus.NOT_FOUND)
        elif storage.is_local(root):
            self._local(Path(storage.filesystem(root)[1]), inside or "index.html")
        else:
            self._stored(root, inside or "index.html")

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing: who reads which card is nobody's business."""

    def _local(self, root: Path, inside: str) -> None:
        place = (root / inside).resolve()
        if place.is_dir():
            place /= "index.html"
        if not place.is_relative_to(root.resolve()) or not place.is_file() or place.stat().st_size > LARGEST:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._answer(place.read_bytes(), _kind(place.name))

    def _stored(self, root: str, inside: str) -> None:
        uri = storage.join(root, inside)
        try:
            if os.path.splitext(inside)[1] in PAGES:
                self._answer(storage.read_bytes(uri), _kind(inside))
                return
            fs, path = storage.filesystem(uri)
            if not fs.exists(path):
                raise FileNotFoundError(uri)
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", str(fs.sign(path, expiration=PRESIGNED_SECONDS)))
            self.end_headers()
        except FileNotFoundError:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def is_inside(path: str) -> bool:
    """Return whether a path, already unquoted, names something below a folder: no part is hidden or leads upwards."""
    parts = [part for part in path.split("/") if part]
    return "\\" not in path and "\0" not in path and not any(part.startswith(".") for part in parts)


def serve(host: str, port: int, known: Folders) -> ThreadingHTTPServer:
    """Return a server that listens on `host` and `port`; `serve_forever` runs it."""
    return ThreadingHTTPServer((host, port), partial(Pages, known))


def remembered(look: Folders, seconds: float = KNOWN_SECONDS) -> Folders:
    """Return `look` asked every few seconds at most; where it fails, what it found before is kept."""
    kept: dict[str, str] = {}
    asked = -seconds

    def known() -> dict[str, str]:
        nonlocal kept, asked
        if time.monotonic() - asked >= seconds:
            asked = time.monotonic()
            try:
                kept = look()
            except Exception:  # the Prefect server is away: cards can be read all the same
                return kept
        return kept

    return known


def _kind(name: str) -> str:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind == "application/json" else kind


def _list(names: list[str]) -> str:
    items = "".join(f'<li><a href="/{quote(name)}/">{html.escape(name)}</a></li>' for name in names)
    none = "<p>No dataset is known yet: each is once it was deployed or curated here.</p>"
    return LIST.format(shown=f"<ul>{items}</ul>" if names else none)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4201)
    given = parser.parse_args()
    serve(given.host, given.port, remembered(folders)).serve_forever()
