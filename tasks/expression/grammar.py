"""Read an expression: text -> a checked syntax tree and the columns that it names. Nothing is ever evaluated by Python.

Python's own parser reads the text, and a whitelist of its nodes is let through: numbers, texts, columns, arithmetic,
comparisons, `and`, `or`, `not`, `in [..]`, `is null`, and calls of the functions below. Beyond Python: columns of any
name in backticks, `null`, and `column below quantile 0.3`.
"""

import ast
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from evenkeel.infra.errors import RecipeError

MAX_CHARACTERS = 10_000
MAX_NUMBER = sys.float_info.max
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod, ast.Pow)
COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot)
FUNCTIONS = {
    "abs": (1, 1),
    "sqrt": (1, 1),
    "exp": (1, 1),
    "log": (1, 1),
    "log10": (1, 1),
    "round": (1, 1),
    "floor": (1, 1),
    "ceil": (1, 1),
    "min": (2, 16),
    "max": (2, 16),
    "where": (3, 3),
    "coalesce": (2, 16),
    "length": (1, 1),
    "lower": (1, 1),
    "starts": (2, 2),
    "matches": (2, 2),
    "quantile": (2, 2),
}
_PARTS = re.compile(r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]+`)")
_QUANTILE = re.compile(r"([A-Za-z_][\w.]*)\s+(below|above)\s+quantile\s+([\d.]+(?:e-?\d+)?)")
_CONSTANTS = {"null": "None", "true": "True", "false": "False"}
_WORDS = re.compile(r"(?<![.\w])(null|true|false)\b")


class Quantile(NamedTuple):
    """The value below which a share of the values of a column lies."""

    column: str
    share: float


@dataclass(frozen=True)
class Expression:
    """A checked expression. text: as written. tree: its syntax. columns: the names that it reads, in order."""

    text: str
    tree: ast.expr
    columns: tuple[str, ...]
    quantiles: tuple[Quantile, ...]
    where: str


Rewrite: TypeAlias = Callable[[ast.expr, Callable[[ast.expr], Expression]], ast.expr]


def parse(text: str, where: str, rewrite: Rewrite | None = None) -> Expression:
    """Return a checked expression. Raises RecipeError that names what is not understood; `where` is the field.

    rewrite: called with the tree before it is checked, and with a function that checks a part of it by itself; returns
    the tree to check. It may replace what the grammar does not know, and raises ValueError.
    """
    quoted: dict[str, str] = {}
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"longer than {MAX_CHARACTERS:,} characters")
        tree = ast.parse(_as_python(text, quoted).strip(), mode="eval").body
        if rewrite is not None:
            tree = rewrite(tree, lambda part: _checked(text, part, quoted, where))
        return _checked(text, tree, quoted, where)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RecipeError(
            f"the expression {_short(text)!r} is not understood",
            found=_reason(error),
            where=where,
            remedy="write columns, numbers, 'texts', + - * / % **, < <= > >= == !=, and, or, not, in [..], is null; "
            "a column with an unusual name in `backticks`",
        ) from error


def _checked(text: str, tree: ast.expr, quoted: dict[str, str], where: str) -> Expression:
    reader = _Reader(quoted)
    reader.check(tree)
    return Expression(text, tree, tuple(dict.fromkeys(reader.columns)), tuple(dict.fromkeys(reader.quantiles)), where)


def column_name(node: ast.expr) -> str | None:
    """Return the name of the column that a node of a checked tree is, None for any other node."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := column_name(node.value)) is not None:
        return f"{before}.{node.attr}"
    return None


def quantile_of(node: ast.Call) -> Quantile:
    """Return the quantile that a call of `quantile` asks for. Raises ValueError where it is none."""
    column, share = column_name(node.args[0]), node.args[1]
    if column is None or not isinstance(share, ast.Constant) or not isinstance(share.value, int | float):
        raise ValueError("quantile takes a column and a share, as in quantile(quality, 0.3)")
    if not 0 <= share.value <= 1:
        raise ValueError(f"the share of a quantile is from 0 to 1, not {share.value}")
    return Quantile(column, float(share.value))


class _Reader:
    """Walks a tree, lets the whitelist through and renames columns in backticks to what they are called."""

    def __init__(self, quoted: dict[str, str]) -> None:
        self.quoted = quoted
        self.columns: list[str] = []
        self.quantiles: list[Quantile] = []

    def check(self, node: ast.expr) -> None:
        """Raise ValueError for what is not in the grammar."""
        if isinstance(node, ast.Name) and node.id in self.quoted:
            node.id = self.quoted[node.id]
        if (name := column_name(node)) is not None:
            self.columns.append(name)
        elif isinstance(node, ast.Constant):
            if not (node.value is None or isinstance(node.value, bool | int | float | str)):
                raise ValueError(f"{node.value!r} is no number and no text")
            if isinstance(node.value, int | float) and abs(node.value) > MAX_NUMBER:
                raise ValueError(f"a number above {MAX_NUMBER:.2g}")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ARITHMETIC):
            self._all(node.left, node.right)
            if (
                isinstance(node.op, ast.Div | ast.Mod)
                and isinstance(node.right, ast.Constant)
                and node.right.value == 0
            ):
                raise ValueError("a division by zero")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd | ast.Not):
            self._all(node.operand)
        elif isinstance(node, ast.BoolOp):
            self._all(*node.values)
        elif isinstance(node, ast.Compare) and all(isinstance(op, COMPARISONS) for op in node.ops):
            self._compare(node)
        elif isinstance(node, ast.Call):
            self._call(node)
        else:
            raise ValueError(f"{ast.unparse(node)!r} has no place in an expression")

    def _all(self, *nodes: ast.expr) -> None:
        for node in nodes:
            self.check(node)

    def _compare(self, node: ast.Compare) -> None:
        self.check(node.left)
        before = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.Is | ast.IsNot) and not _is_null(right):
                raise ValueError("`is` compares with null alone")
            if isinstance(op, ast.Eq | ast.NotEq) and any(_is_null(one) for one in (before, right)):
                raise ValueError("nothing is equal to null: write `x is null` or `x is not null`")
            before = right
            if isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple):
                if not right.elts:
                    raise ValueError("an empty list")
                for one in right.elts:
                    if not isinstance(_constant(one), bool | int | float | str):
                        raise ValueError(f"{ast.unparse(one)!r} in a list: numbers and texts alone")
            else:
                self.check(right)

    def _call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if name not in FUNCTIONS or node.keywords:
            raise ValueError(f"there is no function {name!r}: there are {', '.join(FUNCTIONS)}")
        least, most = FUNCTIONS[name]
        if not least <= len(node.args) <= most:
            raise ValueError(f"{name} takes {least if least == most else f'{least} to {most}'} values")
        if any(isinstance(one, ast.Starred) for one in node.args):
            raise ValueError("* has no place in a call")
        self._all(*node.args)
        if name == "quantile":
            self.quantiles.append(quantile_of(node))


def constants(node: ast.List | ast.Tuple) -> list[bool | int | float | str]:
    """Return the members of a list of a checked tree."""
    return [one for element in node.elts if isinstance(one := _constant(element), bool | int | float | str)]


def _constant(node: ast.expr) -> object:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        return -value if isinstance(value, int | float) else None
    return node.value if isinstance(node, ast.Constant) else None


def _is_null(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _as_python(text: str, quoted: dict[str, str]) -> str:
    """Return the text as Python can parse it; columns in backticks get names that `quoted` explains."""
    parts = _PARTS.split(" ".join(text.split("\n")))
    for at, part in enumerate(parts):
        if part.startswith("`"):
            name = f"__column_{len(quoted)}"
            quoted[name] = part[1:-1]
            parts[at] = f" {name} "
    joined = _PARTS.split("".join(parts))
    for at in range(0, len(joined), 2):
        plain = _QUANTILE.sub(_spelled_out, joined[at])
        joined[at] = _WORDS.sub(lambda found: _CONSTANTS[found[1]], plain)
    return "".join(joined)


def _spelled_out(found: re.Match[str]) -> str:
    sign = "<" if found[2] == "below" else ">"
    return f"{found[1]} {sign} quantile({found[1]}, {found[3]})"


def _reason(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        near = (
            f" near {error.text[max(0, error.offset - 10) : error.offset + 10]!r}"
            if error.text and error.offset
            else ""
        )
        return f"{error.msg}{near}"
    return str(error) or "nested too deeply"


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
