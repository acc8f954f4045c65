"""Which lines of some modules ran, and which did not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest


class Lines:
    """Lines that ran, by file."""

    def __init__(self, folder: Path, without: frozenset[str]) -> None:
        """Follow the modules of a folder; without: names of files, and of functions that are compiled."""
        self.files = {str(path) for path in folder.glob("*.py") if path.name not in without}
        self.without, self.ran = without, {name: set[int]() for name in self.files}
        self.tests: set[str] = set()

    @contextmanager
    def followed(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Follow what a test runs inside, where one that asks for the lines is to come: it takes twice the time."""
        self.tests.add(getattr(request.node, "originalname", request.node.name))
        if not any(item.name.startswith("test_every_line") for item in request.session.items):
            yield
            return
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        ran = self.ran.get(frame.f_code.co_filename)
        if ran is None:
            return None

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            ran.add(frame.f_lineno)
            return line

        ran.add(frame.f_lineno)
        return line

    def skip_unless_all_ran(self, request: pytest.FixtureRequest) -> None:
        """Skip the test that asks, the last of its module, where one before it was not followed."""
        if left := {name for name in vars(request.module) if name.startswith("test_")} - self.tests:
            pytest.skip(f"not all tests ran: {sorted(left)[:3]}")

    def missed(self) -> dict[str, list[int]]:
        """Return the lines of functions that never ran, by file."""
        found = {}
        for name in sorted(self.files):
            module = compile(Path(name).read_text(), name, "exec")
            wanted = {line for code in self._functions(module) for line in _lines(code)}
            if left := sorted(wanted - self.ran[name]):
                found[Path(name).name] = left
        return found

    def _functions(self, code: CodeType) -> Iterator[CodeType]:
        for one in code.co_consts:
            if isinstance(one, CodeType) and one.co_name not in self.without:
                if one.co_flags & 2:  # a function, not the body of a class
                    yield one
                yield from self._functions(one)


def _lines(code: CodeType) -> set[int]:
    return {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}
