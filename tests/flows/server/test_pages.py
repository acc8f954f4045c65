"""The server of pages shows files of known datasets and nothing else, to readers alone."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from evenkeel.flows.server.pages import is_inside, remembered, serve


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "published" / "notes"
    (folder / "versions" / "r1" / "docs").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>notes</h1>")
    (folder / "versions" / "r1" / "card.html").write_text("the card")
    (folder / "versions" / "r1" / "docs" / "index.html").write_text("the docs")
    (folder / ".notes.lock").write_text("hidden")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    server = serve("127.0.0.1", 0, lambda: {"notes": str(folder)})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_cards_docs_and_the_catalog_page_are_shown(pages: str) -> None:
    assert '<a href="/notes/">notes</a>' in httpx.get(pages).text
    assert httpx.get(f"{pages}/notes/").text == "<h1>notes</h1>"
    card = httpx.get(f"{pages}/notes/versions/r1/card.html")
    assert (card.text, card.headers["content-type"]) == ("the card", "text/html; charset=utf-8")
    assert "default-src 'none'" in card.headers["content-security-policy"]
    assert httpx.get(f"{pages}/notes/versions/r1/docs/").text == "the docs"
    assert httpx.head(f"{pages}/notes/").text == ""


@pytest.mark.parametrize(
    "path",
    [
        "/other/index.html",
        "/notes/../../secret.txt",
        "/notes/%2e%2e/%2e%2e/secret.txt",
        "/notes/..%2f..%2fsecret.txt",
        "/notes/link.txt",
        "/notes/.notes.lock",
        "/notes/versions/r1/..%5c..",
        "/notes/gone.html",
        "//etc/passwd",
        "/notes//etc/passwd",
    ],
)
def test_nothing_else_is(pages: str, path: str) -> None:
    import socket

    host, _, port = pages.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as wire:  # httpx would tidy the path up
        wire.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: wire.recv(4096), b"")).decode()
    assert " 404 " in answer.partition("\r\n")[0]
    assert "secret\n" not in answer


def test_nothing_can_be_written(pages: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert httpx.request(method, f"{pages}/notes/index.html").status_code == 501


def test_a_path_stays_below_its_folder() -> None:
    assert is_inside("versions/r1/card.html")
    assert not any(map(is_inside, ["../x", "a/../../x", ".hidden", "a/.b/c", "a\\..\\b", "a\0b"]))


def test_datasets_are_remembered_while_the_server_is_away() -> None:
    answers = iter([{"a": "/a"}])
    known = remembered(lambda: next(answers), seconds=0.0)
    assert known() == {"a": "/a"}
    assert known() == {"a": "/a"}
