"""Every command of docs/TUTORIAL.md, one after the other, in an empty folder, against a server of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import httpx
import pytest

from evenkeel.infra.ports import free_port

PAGE = (Path(__file__).parent.parent / "docs" / "TUTORIAL.md").read_text()
BLOCK = re.compile(r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```", re.S | re.M)
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


class Reader:
    """Does what the page says in a folder; the server gets ports that are free."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"4200": str(free_port()), "4201": str(free_port())}
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
        self.environment["PATH"] = PATH

    def real(self, text: str) -> str:
        """Return text with the ports of this server."""
        return re.sub(r"\b420[01]\b", lambda found: self.ports[found[0]], text)

    def does(self, command: str) -> str:
        """Run a command as the reader's shell would and return what it says."""
        if command == "evenkeel serve":
            command += " --port 4200 --pages-port 4201"
        command = self.real(command)
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.environment[name] = value
            return ""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def reads(self, page: str) -> None:
        """Do all blocks of a page; each line that it shows below a command is a line of what the command said."""
        for name, kind, text in BLOCK.findall(page):
            if kind != "console":
                (self.folder / name).write_text(text)
                continue
            for step in re.split(r"^\$ ", text, flags=re.M)[1:]:
                command, *shown = step.strip().splitlines()
                said = [line.split() for line in self.does(command).splitlines()]
                assert [line for line in shown if self.real(line).split() not in said] == [], said


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(1800)
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    until, last = PAGE.split("## 8.")
    try:
        reader.reads(until)
        pages = f"http://127.0.0.1:{reader.ports['4201']}/tickets/"
        catalog = httpx.get(pages, follow_redirects=True)
        assert catalog.status_code == 200
        cards = re.findall(r'href="([^"]*card\.html)"', catalog.text)
        assert len(cards) == 2
        for card in cards:
            assert "tickets" in httpx.get(str(catalog.url.join(card))).text
        data = (tmp_path / "published" / "tickets" / "latest" / "data.txt").read_text().strip()
        query = f"select topic, count(*) from read_parquet('{data}/*.parquet') group by all"
        with duckdb.connect() as connection:
            counted: dict[str, int] = dict(connection.execute(query).fetchall())
        assert sum(counted.values()) == 300
        assert counted["login"] < 0.62 * 300, "more even than the pool"
        assert set(counted) == {"login", "billing", "shipping", "crash", "access", "privacy"}
        assert (tmp_path / "published" / "tickets" / "versions.json").is_file()
    finally:
        reader.reads("## 8." + last)


def test_the_tutorial_takes_a_dozen_commands() -> None:
    commands = re.findall(r"^\$ (.+)$", PAGE, re.M)
    assert len([line for line in commands if not line.startswith(("export ", "mkdir ", "cat "))]) <= 12
