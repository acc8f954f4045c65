"""Stated properties and tables as formulas of the solver Z3, written apart from the code that scans."""

import ast
import operator
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import z3

from evenkeel.tasks.expression.grammar import column_name
from evenkeel.tasks.expression.property import Property

Truth = tuple[Any, Any]  # formulas: it is true, it is false; neither where a value is missing


def code(text: str) -> int:
    """Return the number that a text is to the solver, which is quicker with numbers."""
    return int.from_bytes(text.encode())


class Table:
    """Columns as functions of a row, and which values are null."""

    def __init__(self, columns: dict[str, str]) -> None:
        sorts = {"number": z3.RealSort(), "text": z3.IntSort(), "truth": z3.BoolSort()}
        self.kinds = columns
        self.value = {name: z3.Function(f"v_{name}", z3.IntSort(), sorts[kind]) for name, kind in columns.items()}
        self.null = {name: z3.Function(f"n_{name}", z3.IntSort(), z3.BoolSort()) for name in columns}

    def facts(self, table: pa.Table) -> list[Any]:
        """Return what is known of the cells of a table."""
        made = {"number": lambda v: z3.RealVal(str(v)), "text": lambda v: z3.IntVal(code(v)), "truth": z3.BoolVal}
        found: list[Any] = []
        for name, kind in self.kinds.items():
            for row, value in enumerate(table[name].to_pylist()):
                found.append(self.null[name](row) == (value is None))
                if value is not None:
                    found.append(self.value[name](row) == made[kind](value))
        return found

    def truth(self, node: ast.expr, row: Any) -> Truth:
        """Return when a condition is true of a row, and when it is false."""
        match node:
            case ast.UnaryOp(op=ast.Not()):
                yes, no = self.truth(node.operand, row)
                return no, yes
            case ast.BoolOp():
                parts = [self.truth(one, row) for one in node.values]
                yes, no = [one[0] for one in parts], [one[1] for one in parts]
                return (z3.And(yes), z3.Or(no)) if isinstance(node.op, ast.And) else (z3.Or(yes), z3.And(no))
            case ast.Compare():
                sides = [node.left, *node.comparators]
                parts = [self._pair(*pair, row) for pair in zip(sides, node.ops, sides[1:], strict=False)]
                return z3.And([one[0] for one in parts]), z3.Or([one[1] for one in parts])
        name = column_name(node)
        assert name is not None, ast.dump(node)
        known = z3.Not(self.null[name](row))
        return z3.And(known, self.value[name](row)), z3.And(known, z3.Not(self.value[name](row)))

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr, row: Any) -> Truth:
        one, no_one = self.number(left, row)
        if isinstance(op, ast.Is | ast.IsNot):
            return (no_one, z3.Not(no_one)) if isinstance(op, ast.Is) else (z3.Not(no_one), no_one)
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(right, ast.List)
            holds = z3.Or([one == self.number(member, row)[0] for member in right.elts])
            holds = z3.Not(holds) if isinstance(op, ast.NotIn) else holds
            return z3.And(z3.Not(no_one), holds), z3.And(z3.Not(no_one), z3.Not(holds))
        other, no_other = self.number(right, row)
        known = z3.Not(z3.Or(no_one, no_other))
        signs = {ast.Lt: "__lt__", ast.LtE: "__le__", ast.Gt: "__gt__", ast.GtE: "__ge__"}
        if isinstance(op, ast.Eq | ast.NotEq):
            holds = one == other if isinstance(op, ast.Eq) else one != other
        else:
            holds = getattr(one, signs[type(op)])(other)
        return z3.And(known, holds), z3.And(known, z3.Not(holds))

    def number(self, node: ast.expr, row: Any) -> Truth:
        """Return a value and when it is null."""
        if (name := column_name(node)) is not None:
            return self.value[name](row), self.null[name](row)
        if isinstance(node, ast.UnaryOp):
            value, null = self.number(node.operand, row)
            return -value, null
        if isinstance(node, ast.BinOp):
            (a, no_a), (b, no_b) = self.number(node.left, row), self.number(node.right, row)
            made = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
            return made[type(node.op)](a, b), z3.Or(no_a, no_b)
        assert isinstance(node, ast.Constant)
        value = node.value
        return z3.IntVal(code(value)) if isinstance(value, str) else z3.RealVal(str(value)), z3.BoolVal(False)


def breaking(one: Property, table: pa.Table, columns: dict[str, str]) -> list[int]:
    """Return the rows that break a property of rows: the models of `premise and not conclusion`."""
    held, row, solver = Table(columns), z3.Int("row"), z3.Solver()
    solver.add(*held.facts(table), row >= 0, row < table.num_rows)
    if one.premise is not None:
        solver.add(held.truth(one.premise.tree, row)[0])
    solver.add(z3.Not(held.truth(one.conclusion.tree, row)[0]))
    found = []
    while solver.check() == z3.sat:
        found.append(solver.model()[row].as_long())
        solver.add(row != found[-1])
    return sorted(found)


def breaking_groups(one: Property, table: pa.Table, columns: dict[str, str]) -> int:
    """Return how many groups of the first key have fewer rows, or rows of a condition, than `>= n` asks."""
    held, solver = Table(columns), z3.Solver()
    solver.add(*held.facts(table))
    compare = one.conclusion.tree
    assert isinstance(compare, ast.Compare)
    assert isinstance(compare.comparators[0], ast.Constant)
    least, rows, key = compare.comparators[0].value, range(table.num_rows), one.keys[0]
    (aggregate,) = one.aggregates
    broken = 0
    for value in dict.fromkeys(table[key].to_pylist()):
        same = [_has(held, key, row, value) for row in rows]
        if aggregate.of is not None:
            same = [z3.And(mine, held.truth(aggregate.of.tree, row)[0]) for mine, row in zip(same, rows, strict=True)]
        solver.push()
        solver.add(z3.Sum([z3.If(mine, 1, 0) for mine in same]) < least)
        broken += solver.check() == z3.sat
        solver.pop()
    return broken


def _has(held: Table, key: str, row: int, value: str | None) -> Any:
    if value is None:
        return held.null[key](row)
    return z3.And(z3.Not(held.null[key](row)), held.value[key](row) == code(value))


def possible(conditions: Sequence[tuple[ast.expr, str]], columns: dict[str, str]) -> bool:
    """Tell whether some row meets all conditions, each true or not true."""
    held, solver = Table(columns), z3.Solver()
    for node, mode in conditions:
        yes, _ = held.truth(node, 0)
        solver.add(yes if mode == "true" else z3.Not(yes))
    return bool(solver.check() == z3.sat)
