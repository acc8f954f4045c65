"""Parse Python files for their docstrings with `ast`, as a process of its own for each shard.

`python -m evenkeel.tasks.ingest.harvest` reads `{"uri", "files": [[path, path below its root, module], ...]}`
from standard input, writes the shard and answers with its counts.
"""

import ast
import gc
import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from evenkeel.infra.tables import write_table

SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "text", "package", "kind", "path")])

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_BLOCKS = ("body", "orelse", "handlers", "finalbody")


def docstrings(source: bytes, module: str) -> list[tuple[str, str, str]]:
    """Return (id, text, kind) of each docstring of a module, in the order they are written.

    An id is module.qualname; what is defined again gets #2, #3, ... Functions inside functions are left out. Raises
    SyntaxError, ValueError, RecursionError or MemoryError where the source does not parse.
    """
    tree = ast.parse(source)
    found = []
    times: Counter[str] = Counter()
    for node, name, kind in [(tree, module, "module"), *_definitions(tree, module)]:
        text = ast.get_docstring(node)
        if text and text.strip():
            times[name] += 1
            found.append((name if times[name] == 1 else f"{name}#{times[name]}", text, kind))
    return found


def _definitions(parent: ast.AST, prefix: str) -> Iterator[tuple[_Definition, str, str]]:
    """Yield classes and functions below a module or class, also those behind `if`, `try` and `with`."""
    for block in _BLOCKS:
        for node in getattr(parent, block, ()):
            if isinstance(node, ast.ClassDef):
                yield node, f"{prefix}.{node.name}", "class"
                yield from _definitions(node, f"{prefix}.{node.name}")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node, f"{prefix}.{node.name}", "function"
            elif isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                yield from _definitions(node, prefix)


def harvest(uri: str, files: list[tuple[str, str, str]]) -> dict[str, int]:
    """Write the docstrings of files to one Parquet shard; return how many files, unparsable files and docstrings."""
    rows: list[tuple[str, str, str, str, str]] = []
    unparsable = 0
    for place, path, module in files:
        try:
            with open(place, "rb") as stream:
                found = docstrings(stream.read(), module)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
            unparsable += 1
            continue
        package = path.split("/", 1)[0].removesuffix(".py")
        rows += [(name, _sound(text), package, kind, path) for name, text, kind in found]
    columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
    write_table(uri, pa.table([list(column) for column in columns], schema=SCHEMA))
    return {"files": len(files), "unparsable": unparsable, "docstrings": len(rows)}


def _sound(text: str) -> str:
    """Return a text without the lone surrogates that an escape in a source can make."""
    return text.encode("utf-8", "replace").decode()


def main() -> None:
    """Harvest the files that standard input names."""
    warnings.simplefilter("ignore")
    gc.disable()
    sys.setrecursionlimit(10_000)
    job = json.load(sys.stdin)
    json.dump(harvest(job["uri"], job["files"]), sys.stdout)


if __name__ == "__main__":
    main()
