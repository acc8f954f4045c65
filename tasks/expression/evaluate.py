"""Compute a checked expression on the columns of a table.

Numbers are float64, and null stands for no value, as in SQL: what is made of null is null, and a comparison with null
is neither true nor false. `and`, `or` and `where` look only at the rows that matter, so that
`where(b == 0, null, a / b)` divides by no zero.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.tasks.expression.grammar import Expression, Quantile, column_name, constants, quantile_of
from evenkeel.tasks.expression.values import (
    NAMES,
    NUMBER,
    TEXT,
    TRUTH,
    Value,
    any_in_list,
    as_value,
    has_type,
    is_null,
    kind_of,
    spread,
)

Quantiles: TypeAlias = Mapping[Quantile, Value]
NO_QUANTILES: Quantiles = {}
_ARITHMETIC: dict[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: pc.divide,
    ast.Pow: pc.power,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Value, Value], Value]] = {
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
}
_OF_NUMBERS: dict[str, Callable[[Value], Value]] = {
    "abs": pc.abs,
    "sqrt": pc.sqrt,
    "exp": pc.exp,
    "log": pc.ln,
    "log10": pc.log10,
    "round": pc.round,
    "floor": pc.floor,
    "ceil": pc.ceil,
}
_LEAST = {"sqrt": operator.lt, "log": operator.le, "log10": operator.le}


def numbers(expression: Expression, table: pa.Table, quantiles: Quantiles = NO_QUANTILES) -> pa.Array:
    """Return a number for every row, (n,) float64; true is 1 and false 0, null where there is none.

    table: the columns of the expression under its names, and `row_id` where there is one, to name rows by.
    Raises RecipeError where columns are of a type that does not fit, InputError for a division by zero.
    """
    found = _Evaluation(expression, table, quantiles).value(expression.tree, None)
    if not has_type(found, NUMBER) and not has_type(found, TRUTH):
        raise _mismatch(expression, expression.tree, "a number", found)
    return spread(found, table.num_rows).cast(NUMBER)


def truths(expression: Expression, table: pa.Table, quantiles: Quantiles = NO_QUANTILES) -> pa.Array:
    """Return whether the expression holds for every row, (n,) bool, null where a value is missing for that.

    Raises as `numbers` does, and RecipeError where the expression is no condition.
    """
    found = _Evaluation(expression, table, quantiles).value(expression.tree, None)
    if not has_type(found, TRUTH):
        raise _mismatch(expression, expression.tree, "a condition, true or false", found)
    return spread(found, table.num_rows)


class _Evaluation:
    """One expression on one table. A mask, (n,) bool, says which rows matter to a part of it; None = all."""

    def __init__(self, expression: Expression, table: pa.Table, quantiles: Quantiles) -> None:
        self.expression, self.table, self.quantiles = expression, table, quantiles

    def value(self, node: ast.expr, mask: pa.Array | None) -> Value:
        """Return the value of a part, for every row or one for all."""
        if (name := column_name(node)) is not None:
            return as_value(self.table[name])
        match node:
            case ast.Constant(value=None):
                return pa.scalar(None, NUMBER)
            case ast.Constant(value=bool() | str() as value):
                return pa.scalar(value)
            case ast.Constant(value=value):
                return pa.scalar(float(value), NUMBER)  # type: ignore[arg-type]
            case ast.BinOp():
                return self._arithmetic(node, mask)
            case ast.UnaryOp(op=ast.Not()):
                return pc.invert(self._typed(node.operand, TRUTH, mask))
            case ast.UnaryOp():
                operand = self._typed(node.operand, NUMBER, mask)
                return operand if isinstance(node.op, ast.UAdd) else pc.negate(operand)
            case ast.BoolOp():
                return self._logic(node, mask)
            case ast.Compare():
                return self._comparison(node, mask)
            case ast.Call():
                return self._call(node, mask)
        raise TypeError(ast.dump(node))

    def _typed(self, node: ast.expr, wanted: pa.DataType, mask: pa.Array | None) -> Value:
        found = self.value(node, mask)
        if wanted == NUMBER and has_type(found, TRUTH):
            return found.cast(NUMBER)
        if not has_type(found, wanted) and not is_null(found):
            raise _mismatch(self.expression, node, NAMES[wanted], found)
        return found.cast(wanted) if is_null(found) else found

    def _arithmetic(self, node: ast.BinOp, mask: pa.Array | None) -> Value:
        left, right = (self._typed(one, NUMBER, mask) for one in (node.left, node.right))
        if isinstance(node.op, ast.Div | ast.Mod):
            self._forbid(pc.equal(right, 0.0), mask, node, "a division by zero", "where(b == 0, null, a / b)")
        if isinstance(node.op, ast.Pow):
            zero = pc.and_(pc.equal(left, 0.0), pc.less(right, 0.0))
            self._forbid(zero, mask, node, "a division by zero", "where(x == 0, null, x ** -1)")
            root = pc.and_(pc.less(left, 0.0), pc.not_equal(right, pc.floor(right)))
            self._forbid(root, mask, node, "a root of a negative number", "where(x >= 0, x ** 0.5, null)")
        if isinstance(node.op, ast.Mod):
            return pc.subtract(left, pc.multiply(pc.floor(pc.divide(left, right)), right))
        return self._held(_ARITHMETIC[type(node.op)](left, right), [left, right], mask, node)

    def _logic(self, node: ast.BoolOp, mask: pa.Array | None) -> Value:
        both = isinstance(node.op, ast.And)
        found = self._typed(node.values[0], TRUTH, mask)
        for one in node.values[1:]:
            open_rows = pc.fill_null(found if both else pc.invert(found), True)
            right = self._typed(one, TRUTH, self._narrowed(mask, open_rows))
            found = pc.and_kleene(found, right) if both else pc.or_kleene(found, right)
        return found

    def _comparison(self, node: ast.Compare, mask: pa.Array | None) -> Value:
        found, left = [], node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.Is | ast.IsNot):
                null = pc.is_null(self.value(left, mask))
                found.append(null if isinstance(op, ast.Is) else pc.invert(null))
            elif isinstance(op, ast.In | ast.NotIn):
                inside = self._inside(left, right, mask)
                found.append(inside if isinstance(op, ast.In) else pc.invert(inside))
            else:
                found.append(self._compared(op, left, right, mask))
            left = right
        return reduce(pc.and_kleene, found)

    def _compared(self, op: ast.cmpop, left: ast.expr, right: ast.expr, mask: pa.Array | None) -> Value:
        one, other = self.value(left, mask), self.value(right, mask)
        one, other = self._as_time(one, other, right), self._as_time(other, one, left)
        if has_type(one, TRUTH) != has_type(other, TRUTH):
            one, other = (two.cast(NUMBER) if has_type(two, TRUTH) else two for two in (one, other))
        if is_null(one) or is_null(other):
            return pa.scalar(None, TRUTH)
        if one.type != other.type:
            raise _mismatch(self.expression, right, f"{kind_of(one)}, as on the left", other)
        return _COMPARISONS[type(op)](one, other)

    def _as_time(self, one: Value, other: Value, of_other: ast.expr) -> Value:
        """Return a text as a date or time where the other side of a comparison is one."""
        if not (pa.types.is_temporal(other.type) and has_type(one, TEXT) and isinstance(one, pa.Scalar)):
            return one
        try:
            return one.cast(other.type)
        except pa.ArrowInvalid as error:
            raise _mismatch(self.expression, of_other, "a date or time, as in '2024-05-01'", one) from error

    def _inside(self, left: ast.expr, right: ast.expr, mask: pa.Array | None) -> Value:
        one = self.value(left, mask)
        if isinstance(right, ast.List | ast.Tuple):
            members = self._members(right)
            if members.type != one.type:
                raise _mismatch(self.expression, left, f"{NAMES[members.type]}, as in the list", one)
            found = pc.is_in(one, value_set=members)
            return pc.if_else(pc.is_null(one), pa.scalar(None, TRUTH), found)
        held = self.value(right, mask)
        if not (isinstance(one, pa.Scalar) and has_type(one, TEXT)):
            raise _mismatch(self.expression, left, "a 'text' before `in` a column", one)
        if pa.types.is_list(held.type) and isinstance(held, pa.Array):
            return any_in_list(held, one)
        if not has_type(held, TEXT):
            raise _mismatch(self.expression, right, "a list, a text or tags after `in`", held)
        return pc.match_substring(held, one.as_py())

    def _members(self, node: ast.List | ast.Tuple) -> pa.Array:
        members = constants(node)
        if len({isinstance(one, str) for one in members}) > 1:
            raise _mismatch(self.expression, node, "numbers alone, or texts alone", pa.scalar(None, TEXT))
        return pa.array([one if isinstance(one, str) else float(one) for one in members])

    def _call(self, node: ast.Call, mask: pa.Array | None) -> Value:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in _OF_NUMBERS:
            operand = self._typed(node.args[0], NUMBER, mask)
            if name in _LEAST:
                wrong = pc.less(operand, 0.0) if name == "sqrt" else pc.less_equal(operand, 0.0)
                what = "of a negative number" if name == "sqrt" else "of zero or a negative number"
                self._forbid(wrong, mask, node, f"{name} {what}", f"where(x > 0, {name}(x), null)")
            return self._held(_OF_NUMBERS[name](operand), [operand], mask, node)
        if name in ("min", "max"):
            each = [self._typed(one, NUMBER, mask) for one in node.args]
            function = pc.min_element_wise if name == "min" else pc.max_element_wise
            return function(*each, skip_nulls=False)
        if name == "where":
            return self._where(node, mask)
        if name == "coalesce":
            return pc.coalesce(*_one_type(self.expression, node, [self.value(one, mask) for one in node.args]))
        if name == "quantile":
            return self.quantiles[quantile_of(node)]
        if name == "length":
            held = self.value(node.args[0], mask)
            if isinstance(held, pa.Array) and pa.types.is_list(held.type):
                return pc.list_value_length(held).cast(NUMBER)
            return pc.utf8_length(self._typed(node.args[0], TEXT, mask)).cast(NUMBER)
        if name == "lower":
            return pc.utf8_lower(self._typed(node.args[0], TEXT, mask))
        text, pattern = (self._typed(one, TEXT, mask) for one in node.args)
        if not isinstance(pattern, pa.Scalar):
            raise _mismatch(self.expression, node.args[1], "a 'text'", pattern)
        if name == "starts":
            return pc.starts_with(text, pattern.as_py())
        try:
            pc.match_substring_regex(pa.scalar(""), pattern.as_py())
            return pc.match_substring_regex(text, pattern.as_py())
        except pa.ArrowInvalid as error:
            raise _mismatch(self.expression, node.args[1], "a regular expression (RE2)", pattern) from error

    def _where(self, node: ast.Call, mask: pa.Array | None) -> Value:
        condition = pc.fill_null(self._typed(node.args[0], TRUTH, mask), False)
        first = self.value(node.args[1], self._narrowed(mask, condition))
        second = self.value(node.args[2], self._narrowed(mask, pc.invert(condition)))
        return pc.if_else(condition, *_one_type(self.expression, node, [first, second]))

    def _narrowed(self, mask: pa.Array | None, rows: Value) -> pa.Array:
        rows = spread(rows, self.table.num_rows)
        return rows if mask is None else pc.and_(mask, rows)

    def _held(self, found: Value, operands: list[Value], mask: pa.Array | None, node: ast.expr) -> Value:
        """Return numbers made of others; raise InputError where finite ones give one that no float64 can hold."""
        overflow = reduce(pc.and_, [pc.is_inf(found), *map(pc.is_finite, operands)])
        self._forbid(overflow, mask, node, "an infinite number", "where(abs(x) < 700, exp(x), null)")
        return found

    def _forbid(self, wrong: Value, mask: pa.Array | None, node: ast.expr, what: str, instead: str) -> None:
        """Raise InputError where something undefined is asked for in a row that matters."""
        rows = self._narrowed(mask, pc.fill_null(wrong, False)).to_numpy(zero_copy_only=False)
        if not rows.any():
            return
        at = int(rows.argmax())
        row = f"row_id {self.table['row_id'][at]}" if "row_id" in self.table.column_names else f"row {at}"
        raise InputError(
            f"{what} in {ast.unparse(node)}",
            found=f"{int(rows.sum()):,} row(s) of a block, the first at {row}",
            where=self.expression.where,
            remedy=f"say what such rows get, as in {instead}",
        )


def _one_type(expression: Expression, node: ast.Call, values: list[Value]) -> list[Value]:
    kinds = [value.type for value in values if not is_null(value)]
    if len(set(kinds)) > 1:
        raise _mismatch(expression, node, "values of one type", next(v for v in values if v.type == kinds[-1]))
    return [value.cast(kinds[0]) if kinds and is_null(value) else value for value in values]


def _mismatch(expression: Expression, node: ast.expr, expected: str, found: Value) -> RecipeError:
    return RecipeError(
        f"a type does not fit in the expression {expression.text!r}",
        expected=expected,
        found=f"{kind_of(found)} in {ast.unparse(node)}",
        where=expression.where,
        remedy="numbers are compared with numbers, texts with 'texts'",
    )
