"""Compute conditions on the columns of a frame: cuDF where the compute is a GPU, and pandas, which has the same calls.

Covered are comparisons, `and`, `or`, `not`, `in [..]`, `is null`, + - *, `abs`, and of texts equality, `length`,
`lower` and `starts`. What is not raises NotOnFrames, and the caller computes it on Arrow arrays. Tests compare both
ways on pandas; on cuDF it has not been run.
"""

import ast
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import numpy as np
import pyarrow as pa

from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import BoolArray
from evenkeel.tasks.expression.grammar import Expression, column_name, constants

if TYPE_CHECKING:
    import pandas as pd


class NotOnFrames(Exception):
    """An expression has a part that is not computed on frames."""


class Truth(NamedTuple):
    """Where a condition is true and where it is false, columns of truths; neither where a value is missing."""

    yes: "pd.Series[bool]"
    no: "pd.Series[bool]"


class Number(NamedTuple):
    """Numbers, a column of float64; NaN where there is none."""

    values: "pd.Series[float]"


class Text(NamedTuple):
    """Texts, a column; null where there is none."""

    values: "pd.Series[str]"


Value: TypeAlias = "Truth | Number | Text | bool | float | str | None"
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Eq: "eq",
    ast.NotEq: "ne",
}
_ARITHMETIC: dict[type[ast.operator], Callable[[object, object], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def frame_of(table: pa.Table, backend: Backend) -> "pd.DataFrame":
    """Return a table as a frame, on the device where the backend is one."""
    if backend == "gpu":
        import cudf

        return cast("pd.DataFrame", cudf.DataFrame.from_arrow(table))
    return cast("pd.DataFrame", table.to_pandas())


def true_rows(expression: Expression, table: pa.Table, backend: Backend) -> BoolArray:
    """Return for which rows a condition is true, (n,) bool on the host. Raises NotOnFrames."""
    if not expression.columns:
        raise NotOnFrames("no column")
    frame = frame_of(table.select(list(expression.columns)), backend)
    found = _Evaluation(table, frame).value(expression.tree)
    if not isinstance(found, Truth):
        raise NotOnFrames("no condition")
    return np.asarray(found.yes.to_numpy(), np.bool_)


class _Evaluation:
    def __init__(self, table: pa.Table, frame: "pd.DataFrame") -> None:
        self.table, self.frame = table, frame

    def value(self, node: ast.expr) -> Value:
        """Return what a part is worth."""
        if (name := column_name(node)) is not None:
            return self._column(name)
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return value
            case ast.UnaryOp(op=ast.Not()):
                found = self._truth(node.operand)
                return Truth(found.no, found.yes)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.BoolOp():
                parts = [self._truth(one) for one in node.values]
                both = isinstance(node.op, ast.And)
                return Truth(_all([one.yes for one in parts], both), _all([one.no for one in parts], not both))
            case ast.Compare():
                sides = [node.left, *node.comparators]
                pairs = [self._compared(*pair) for pair in zip(sides, node.ops, sides[1:], strict=False)]
                return Truth(_all([one.yes for one in pairs], True), _all([one.no for one in pairs], False))
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                left, right = (self._number(one) for one in (node.left, node.right))
                return Number(cast("pd.Series[float]", _ARITHMETIC[type(node.op)](left, right)))
            case ast.Call(func=ast.Name(id=name), args=[inner, *rest]):
                return self._call(name, inner, rest)
        raise NotOnFrames(ast.unparse(node))

    def _column(self, name: str) -> Value:
        kind, column = self.table.schema.field(name).type, self.frame[name]
        if pa.types.is_dictionary(kind):
            kind, column = kind.value_type, column.astype("str")
        if pa.types.is_boolean(kind):
            known = ~column.isna()
            yes = column.fillna(False).astype("bool")
            return Truth(yes & known, ~yes & known)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return Number(column.astype("float64").fillna(float("nan")))
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return Text(column)
        raise NotOnFrames(f"{name}: {kind}")

    def _truth(self, node: ast.expr) -> Truth:
        found = self.value(node)
        if not isinstance(found, Truth):
            raise NotOnFrames(ast.unparse(node))
        return found

    def _number(self, node: ast.expr) -> "pd.Series[float] | float":
        found = self.value(node)
        if isinstance(found, Number):
            return found.values
        if isinstance(found, int | float):
            return float(found)
        raise NotOnFrames(ast.unparse(node))

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Truth:
        if isinstance(op, ast.Is | ast.IsNot):
            null = _missing(self.value(left))
            return Truth(null, ~null) if isinstance(op, ast.Is) else Truth(~null, null)
        one = self.value(left)
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(one, Number | Text) or not isinstance(right, ast.List | ast.Tuple):
                raise NotOnFrames(ast.unparse(right))
            inside = one.values.isin(constants(right)).fillna(False)
            return _known(inside, ~_missing(one), isinstance(op, ast.In))
        other = self.value(right)
        if isinstance(one, str) and isinstance(other, Text) and isinstance(op, ast.Eq | ast.NotEq):
            one, other = other, one
        if isinstance(one, Text) and isinstance(other, str) and isinstance(op, ast.Eq | ast.NotEq):
            same = (one.values == other).fillna(False).astype("bool")
            return _known(same, ~_missing(one), isinstance(op, ast.Eq))
        sides = [side.values if isinstance(side, Number) else side for side in (one, other)]
        if not all(isinstance(side, Number | int | float) for side in (one, other)) or not any(
            isinstance(side, Number) for side in (one, other)
        ):
            raise NotOnFrames(ast.unparse(right))
        holds = cast("pd.Series[bool]", getattr(operator, _SIGNS[type(op)])(*sides))
        known = _all([~_missing(side) for side in (one, other) if isinstance(side, Number)], True)
        return _known(holds, known, True)

    def _call(self, name: str, inner: ast.expr, rest: list[ast.expr]) -> Value:
        found = self.value(inner)
        if name == "abs" and isinstance(found, Number):
            return Number(found.values.abs())
        if isinstance(found, Text) and name == "length":
            return Number(found.values.str.len().astype("float64").fillna(float("nan")))
        if isinstance(found, Text) and name == "lower":
            return Text(found.values.str.lower())
        if isinstance(found, Text) and name == "starts" and isinstance(start := self.value(rest[0]), str):
            begins = found.values.str.startswith(start).fillna(False).astype("bool")
            return _known(begins, ~_missing(found), True)
        raise NotOnFrames(name)


def _known(holds: "pd.Series[bool]", known: "pd.Series[bool]", positive: bool) -> Truth:
    yes, no = holds & known, ~holds & known
    return Truth(yes, no) if positive else Truth(no, yes)


def _missing(value: Value) -> "pd.Series[bool]":
    if isinstance(value, Truth):
        return ~(value.yes | value.no)
    if isinstance(value, Number):
        return value.values != value.values
    if isinstance(value, Text):
        return value.values.isna()
    raise NotOnFrames("a constant is never null")


def _all(parts: "list[pd.Series[bool]]", conjunction: bool) -> "pd.Series[bool]":
    found = parts[0]
    for one in parts[1:]:
        found = found & one if conjunction else found | one
    return found
