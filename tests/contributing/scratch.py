"""A scratch package made of the code blocks of a how-to page, installed where one process finds it."""

import re
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "contributing"
BLOCK = re.compile(r"(?:`([\w.]+)`:\n\n)?```(\w+)\n(.*?)^```", re.S | re.M)


def install(folder: Path, name: str, version: str, entry_points: dict[str, dict[str, str]]) -> None:
    """Write what `pip install` leaves of a package besides its modules: its name, version and entry points."""
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{point} = {value}" for point, value in points.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")


@dataclass
class Scratch:
    """The files of a how-to page in `folder`; `recipe` is the part of a recipe that the page shows."""

    page: str
    folder: Path

    def __post_init__(self) -> None:
        blocks = BLOCK.findall((PAGES / f"{self.page}.md").read_text())
        self.files = {name: text for name, _, text in blocks if name}
        self.recipe: dict[str, Any] = next(yaml.safe_load(text) for _, kind, text in blocks if kind == "yaml")
        self.project: dict[str, Any] = tomllib.loads(self.files["pyproject.toml"])["project"]
        self.folder.mkdir(exist_ok=True)
        for name, text in self.files.items():
            (self.folder / name).write_text(text)
        self.install(self.project["version"])

    def install(self, version: str) -> None:
        """Install this version in place of the one that is there."""
        for file in self.folder.glob("*.dist-info/*"):
            file.unlink()
        for about in self.folder.glob("*.dist-info"):
            about.rmdir()
        install(self.folder, self.project["name"], version, self.project["entry-points"])

    def tests(self) -> list[str]:
        """Return the files of tests that the page shows."""
        tests = [f"{self.folder.name}/{name}" for name in self.files if name.startswith("test_")]
        assert tests
        return tests

    def in_our_tree(self, package: str, code: str) -> str:
        """Run code in a process where the module of the page lies in one of our folders, and nothing is installed."""
        ours = self.folder.with_name("ours")
        ours.mkdir()
        for name, text in self.files.items():
            if name.endswith(".py") and not name.startswith("test_"):
                (ours / name).write_text(text)
        begin = f"import {package} as folder\nfolder.__path__.append({str(ours)!r})\n"
        return self.python("-c", begin + textwrap.dedent(code), installed=False)

    def python(self, *arguments: str, installed: bool = True) -> str:
        """Run Python and return what it prints."""
        paths = [str(self.folder)] * installed + [str(ROOT)]
        done = subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", *arguments],
            cwd=self.folder.parent,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "PYTHONPATH": ":".join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
