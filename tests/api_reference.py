"""Write docs/API.md: the public Python API, from signatures and docstrings. `python -m tests.api_reference`."""

from pathlib import Path

import griffe

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "API.md"
PUBLIC = {
    "Reading a version": ["tasks.reading.stream.RowStream", "tasks.reading.torch.TorchStream"],
    "Adding a strategy": [
        "tasks.sample.strategy.Strategy",
        "tasks.sample.problem.SamplingProblem",
        "tasks.sample.draw_plan.DrawPlan",
    ],
}
INTRODUCTION = """# Python API

What other code may build on: reading published versions, and the base classes of what an installed package can add.
Names that are not on this page may change in any release. The page is generated from the code:
`python -m tests.api_reference`.
"""


def reference() -> str:
    """Return the page."""
    rooms = {name.partition(".")[0] for names in PUBLIC.values() for name in names}
    loaded = {room: griffe.load(room, search_paths=[ROOT], allow_inspection=False) for room in rooms}
    lines = [INTRODUCTION]
    for title, names in PUBLIC.items():
        lines.append(f"## {title}\n")
        for name in names:
            room, _, path = name.partition(".")
            lines += described(loaded[room][path], f"evenkeel.{name}")
    return "\n".join(lines)


def described(item: griffe.Object | griffe.Alias, name: str) -> list[str]:
    """Return the lines about a class or function: how it is called, its docstring, its public members."""
    lines = [f"### `{name}`\n", f"```python\n{signature(item)}\n```\n", text(item)]
    for member in item.members.values():
        if member.name.startswith("_") or member.docstring is None:
            continue
        if member.is_function:
            lines.append(f"- `{' '.join(signature(member).split())}`: {' '.join(text(member).split())}")
    return [*lines, ""] if lines[-1].startswith("- ") else lines


def signature(item: griffe.Object | griffe.Alias) -> str:
    """Return a function as it is declared, or a class as it is called; a long one with a line for each parameter."""
    if isinstance(item, griffe.Class):
        declared, returns = item.members.get("__init__"), ""
        fields = [each for each in item.members.values() if isinstance(each, griffe.Attribute) and each.annotation]
        shown = parameters(declared) if isinstance(declared, griffe.Function) else [field(each) for each in fields]
    else:
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
