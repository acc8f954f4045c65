"""Read a stated property: a condition on every row, or on every group of rows, over the grammar of expressions.

    CONDITION                                   score.length > 0
    CONDITION implies CONDITION                 score.length > 0 implies lang is not null
    forall COLUMN, ..: CONDITION                forall lang, label: count >= 20
    forall COLUMN, ..: CONDITION implies ..     forall lang: count >= 100 implies mean(correct) >= 0.8
    CONDITION on all rows                       share(lang == 'de') >= 0.1

A condition on groups speaks of `count`, `count(condition)`, `share(condition)`, and `sum`, `mean`, `min` and `max` of
numbers; without `forall` the group is all rows. What stands before `implies` says which rows or groups are checked.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.expression.grammar import Expression, column_name, parse

Function = Literal["count", "share", "sum", "mean", "min", "max"]
FUNCTIONS = get_args(Function)
_MARKS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]+`|[(\[]|[)\]]|\bimplies\b|:|,")
_FORALL = re.compile(r"\s*forall\b")


@dataclass(frozen=True)
class Aggregate:
    """One number of a group. name: as written, `mean(correct)`. of: what is aggregated; None for the count of rows."""

    name: str
    function: Function
    of: Expression | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that are aggregated."""
        return () if self.of is None else self.of.columns


@dataclass(frozen=True)
class Property:
    """A checked property. premise: which rows or groups are checked, None = all. conclusion: what must hold of them.

    keys: columns whose values make the groups. aggregates: the numbers of groups that the conditions name. of_groups:
    whether it speaks of groups, of which there is one where it has no keys.
    """

    text: str
    premise: Expression | None
    conclusion: Expression
    keys: tuple[str, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    of_groups: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that are read, in order."""
        if not self.of_groups:
            conditions = [one for one in (self.premise, self.conclusion) if one is not None]
            return tuple(dict.fromkeys(name for one in conditions for name in one.columns))
        inner = [name for one in self.aggregates if one.of is not None for name in one.of.columns]
        return tuple(dict.fromkeys([*self.keys, *inner]))


def parse_property(text: str, where: str) -> Property:
    """Return a checked property. Raises RecipeError that names what is not understood; `where` is the field."""
    keys, body = _quantified(text, where)
    parts = _split(body, "implies", text, where)
    found: dict[str, Aggregate] = {}
    gather = _gatherer(found)
    conclusion = parse(parts[-1], where, gather)
    before = " and ".join(f"({part})" for part in parts[:-1]) if len(parts) > 2 else parts[0]
    premise = parse(before.strip(), where, gather) if len(parts) > 1 else None
    of_groups = keys is not None or bool(found)
    read = Property(text, premise, conclusion, keys or (), tuple(found.values()), of_groups)
    _check(read, where)
    return read


def parse_aggregate(text: str, where: str) -> Aggregate:
    """Return the one aggregate that a text is, such as `mean(correct)`. Raises RecipeError where it is none."""
    found: dict[str, Aggregate] = {}
    tree = parse(text, where, _gatherer(found)).tree
    name = column_name(tree)
    if name not in found:
        raise _wrong(
            text, "no number of a group", where, "write count, share(condition), or sum, mean, min, max of a column"
        )
    return found[name]


def parse_metric(text: str, where: str) -> Aggregate:
    """Return the metric that a text is. Raises RecipeError where it is neither a mean nor a share."""
    found = parse_aggregate(text, where)
    if found.function not in ("mean", "share"):
        raise RecipeError(
            f"the metric {text!r} cannot be compared between groups",
            expected="mean(number) or share(condition)",
            found=found.function,
            where=where,
        )
    return found


def _quantified(text: str, where: str) -> tuple[tuple[str, ...] | None, str]:
    """Return the columns after `forall`, None without, and the rest of the property."""
    start = _FORALL.match(text)
    if start is None:
        return None, text
    head, *rest = _split(text[start.end() :], ":", text, where, most=1)
    if not rest:
        raise _wrong(text, "forall without a colon", where, "write forall lang, label: count >= 20")
    names = [column_name(parse(part, where).tree) for part in _split(head, ",", text, where)]
    if any(name is None for name in names):
        raise _wrong(text, f"{head.strip()!r} after forall", where, "columns stand between forall and the colon")
    keys = [name for name in names if name is not None]
    if len(set(keys)) < len(keys):
        raise _wrong(text, f"a column twice after forall: {', '.join(keys)}", where, "name each column once")
    return tuple(keys), rest[0]


def _split(text: str, mark: str, whole: str, where: str, most: int = 0) -> list[str]:
    """Return the parts of a text between marks that stand outside quotes and brackets; the first `most`, 0 = all."""
    parts: list[str] = []
    begin = depth = 0
    for found in _MARKS.finditer(text):
        if found[0] in "([":
            depth += 1
        elif found[0] in ")]":
            depth -= 1
        elif found[0] == mark and depth and mark == "implies":
            raise _wrong(whole, "implies inside brackets", where, "write (not a or b) there")
        elif found[0] == mark and not depth and (not most or len(parts) < most):
            parts.append(text[begin : found.start()])
            begin = found.end()
    parts.append(text[begin:])
    if not all(part.strip() for part in parts):
        raise _wrong(whole, f"nothing before or after {mark!r}", where, "write a condition on both sides")
    return [part.strip() for part in parts]


def _gatherer(found: dict[str, Aggregate]) -> Callable[[ast.expr, Callable[[ast.expr], Expression]], ast.expr]:
    """Return what replaces the aggregates of a tree by columns of their names, and gathers them in `found`."""

    def gather(tree: ast.expr, check: Callable[[ast.expr], Expression]) -> ast.expr:
        return cast(ast.expr, _Aggregates(found, check).visit(tree))

    return gather


class _Aggregates(ast.NodeTransformer):
    def __init__(self, found: dict[str, Aggregate], check: Callable[[ast.expr], Expression]) -> None:
        self.found, self.check = found, check

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == "count":
            self.found.setdefault("count", Aggregate("count", "count", None))
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        function = node.func.id if isinstance(node.func, ast.Name) else ""
        if function not in FUNCTIONS or (function in ("min", "max") and len(node.args) != 1):
            node.args = [self.visit(one) for one in node.args]
            return node
        if len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred):
            raise ValueError(f"{function} of a group takes one value")
        inner = self.check(node.args[0])
        if inner.quantiles:
            raise ValueError("a quantile has no place in a property")
        name = f"{function}({ast.unparse(inner.tree)})"
        self.found.setdefault(name, Aggregate(name, cast(Function, function), inner))
        return ast.Name(name, ast.Load())


def _check(read: Property, where: str) -> None:
    conditions = [one for one in (read.premise, read.conclusion) if one is not None]
    if any(one.quantiles for one in conditions):
        raise _wrong(read.text, "a quantile", where, "state the number, or make it a signal")
    if not read.of_groups:
        if not read.columns:
            raise _wrong(read.text, "no column", where, "name the columns that the property is about")
        return
    known = {*read.keys, *(one.name for one in read.aggregates)}
    for one in conditions:
        if loose := [name for name in one.columns if name not in known]:
            remedy = f"write mean({loose[0]}) or another number of the group, or forall {loose[0]}: .."
            raise _wrong(read.text, f"{loose[0]!r}, which differs from row to row in a group", where, remedy)
    if not any(name not in read.keys for name in read.conclusion.columns):
        remedy = "a property of rows needs no forall; one of groups has a count"
        raise _wrong(read.text, "a condition on the keys alone", where, remedy)


def _wrong(text: str, found: str, where: str, remedy: str) -> RecipeError:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return RecipeError(f"the property {shown!r} is not understood", found=found, where=where, remedy=remedy)
