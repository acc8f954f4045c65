"""Write docs/API.md: the Python API that the other pages use. `python -m tests.api_reference`.

Public is what a block of Python on a page of docs/ imports; its signature and docstring come from the code.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGE = DOCS / "API.md"
INTRODUCTION = """# Python API

What other code may import: everything that an example in these pages imports. Other names may change in any release.
This page is generated from the pages and the code: `python -m tests.api_reference`.

## Extension points

A package of yours adds to recipes what it registers under one of these groups of entry points in its `pyproject.toml`;
the name of the entry is what a recipe says. Installed, it is there: for recipes, their schema, the forms of the UI, and
`evenkeel schema --markdown`. Its version is part of the keys of the steps that use it.

| entry point group | derive from | a recipe names it in | how |
| --- | --- | --- | --- |
| `evenkeel.strategies` | `Strategy` | `sampling.strategy` | [a strategy](contributing/strategy.md) |
| `evenkeel.embedders` | `TextEmbedder` | `embedding.method` | [an embedder](contributing/embedder.md) |
| `evenkeel.expectations` | such as `AtLeast` | `gates.add` | [an expectation](contributing/expectation.md) |
| `evenkeel.readers` | `Reader` | `source.format` | [a reader](contributing/reader.md) |
| `evenkeel.signals` | `Signal` | `signals` | [a signal](contributing/signal.md) |
| `evenkeel.annotations` | `Annotation` | `annotations` | [an annotation](contributing/annotation.md) |
"""
OPENED = ("evenkeel.open", "evenkeel.tasks.reading.version.PublishedVersion")
"""What `import evenkeel` on a page is about, and what it returns."""


def reference() -> str:
    """Return the page."""
    rooms = {room_of(name)[0] for _, name in public()}
    loaded = {room: griffe.load(room, search_paths=[ROOT], allow_inspection=False) for room in rooms}
    lines, section = [INTRODUCTION], ""
    for page, name in public():
        room, path = room_of(name)
        if page != section:
            lines.append(f"## {title(DOCS / page)}\n\nAn example is on [its page]({page}).\n")
            section = page
        lines += described(loaded[room][path], name)
    return "\n".join(lines)


def room_of(name: str) -> tuple[str, str]:
    """Return the folder that holds a public name, and the name there."""
    top, _, rest = name.partition(".")
    room, _, path = rest.partition(".")
    return (room, path) if path else (top, rest)


def public() -> list[tuple[str, str]]:
    """Return every name that a page imports, with the first page that does."""
    first: dict[str, str] = {}
    for page in sorted({*DOCS.rglob("*.md")} - {PAGE}, key=lambda page: (page.parent != DOCS, page)):
        for name in imported(page.read_text()):
            first.setdefault(name, str(page.relative_to(DOCS)))
    return [(page, name) for name, page in first.items()]


def imported(page: str) -> Iterator[str]:
    """Yield the full names that the blocks of Python on a page import from us."""
    for block in re.findall(r"^ *```python\n(.*?)^ *```", page, re.M | re.S):
        for node in ast.walk(ast.parse(textwrap.dedent(block))):
            if isinstance(node, ast.Import) and any(alias.name == "evenkeel" for alias in node.names):
                yield from OPENED
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("evenkeel."):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def title(page: Path) -> str:
    """Return the first heading of a page."""
    return page.read_text().splitlines()[0].removeprefix("# ")


def described(item: griffe.Object | griffe.Alias, name: str) -> list[str]:
    """Return the lines about a class or function: how it is called, its docstring, its public members."""
    if isinstance(item, griffe.Attribute):
        return [f"### `{name}`\n", f"```python\n{item.name} = {item.value}\n```\n"]
    lines = [f"### `{name}`\n", f"```python\n{signature(item)}\n```\n", text(item)]
    for member in item.all_members.values():
        if member.name.startswith("_") or member.docstring is None:
            continue
        if member.is_function:
            lines.append(f"- `{' '.join(signature(member).split())}`: {' '.join(text(member).split())}")
    return [*lines, ""] if lines[-1].startswith("- ") else lines


def signature(item: griffe.Object | griffe.Alias) -> str:
    """Return a function as it is declared, or a class as it is called; a long one with a line for each parameter."""
    if isinstance(item, griffe.Class):
        declared, returns = item.members.get("__init__"), ""
        attributes = [each for each in item.members.values() if isinstance(each, griffe.Attribute) and each.annotation]
        fields = [each for each in attributes if "instance-attribute" in each.labels]  # not those of the class
        shown = parameters(declared) if isinstance(declared, griffe.Function) else [field(each) for each in fields]
    else:
        item = item.final_target if isinstance(item, griffe.Alias) else item  # what is inherited
        assert isinstance(item, griffe.Function)
        shown, returns = parameters(item), f" -> {item.returns}"
    line = f"{item.name}({', '.join(shown)}){returns}"
    return line if len(line) < 120 else f"{item.name}(\n    " + ",\n    ".join(shown) + f",\n){returns}"


def parameters(function: griffe.Function) -> list[str]:
    """Return the parameters without self, each with its type and default."""
    shown: list[str] = []
    for each in function.parameters:
        if each.name in ("self", "cls"):
            continue
        if each.kind is griffe.ParameterKind.keyword_only and "*" not in shown:
            shown.append("*")
        default = "" if each.default is None else f" = {each.default}"
        shown.append(f"{each.name}: {each.annotation}{default}")
    return shown


def field(attribute: griffe.Attribute) -> str:
    """Return a field of a model or dataclass, with its type and default."""
    default = "" if attribute.value is None else f" = {attribute.value}"
    return f"{attribute.name}: {attribute.annotation}{default}"


def text(item: griffe.Object | griffe.Alias) -> str:
    """Return the docstring as Markdown."""
    if item.docstring is None:
        raise ValueError(f"{item.path} is public and has no docstring")
    return item.docstring.value + "\n"


if __name__ == "__main__":
    PAGE.write_text(reference())
