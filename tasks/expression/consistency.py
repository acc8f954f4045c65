"""Find conditions that can never hold, one alone or two together, before any row is read.

A condition is taken apart into alternatives, each a set of demands on single columns: a null or not, a range, members
of a list. Where every alternative demands the impossible of a column, no row can meet the condition. What is not a
comparison of a column with a constant counts as possible, so a condition that is refused is a contradiction for certain
(tests compare with the solver Z3), and not every contradiction is found.
"""

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, product
from typing import Literal, NamedTuple, TypeAlias

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.expression.grammar import Expression, column_name, constants
from evenkeel.tasks.expression.property import Property

Mode = Literal["true", "false", "not true", "not false"]
MOST_ALTERNATIVES = 1024
OPPOSITE: dict[Mode, Mode] = {"true": "false", "false": "true", "not true": "not false", "not false": "not true"}
VALUES: dict[Mode, frozenset[str]] = {
    "true": frozenset("t"),
    "false": frozenset("f"),
    "not true": frozenset("fn"),
    "not false": frozenset("tn"),
}
SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "==", "in": "not in", "not in": "in"}
TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_DATE = re.compile(r"\d{4}-")
Constant: TypeAlias = bool | int | float | str


class Demand(NamedTuple):
    """What one alternative asks of a column. sign: `null`, `not null`, a comparison, `in`, or `is`, one of t, f, n."""

    column: str
    sign: str
    values: tuple[Constant, ...] = ()


Alternatives: TypeAlias = list[tuple[Demand, ...]]


NOTHING: Alternatives = [()]


class _TooMany(Exception):
    """A condition has more alternatives than are looked at."""


def refuse_contradictions(properties: Sequence[Property], where: str) -> None:
    """Raise RecipeError where a property can never hold or checks nothing, or where two cannot hold together."""
    for one in properties:
        premise = [(one.premise, "true")] if one.premise is not None else []
        if not _possible(one, premise):
            raise _refusal(one, "what stands before `implies` is never true, so nothing would be checked", where)
        if not _possible(one, [*premise, (one.conclusion, "true")]):
            raise _refusal(one, "it contradicts itself: it can hold for nothing that it checks", where)
    for one, other in combinations(properties, 2):
        if (one.of_groups, set(one.keys)) == (other.of_groups, set(other.keys)) and _clash(one, other):
            raise _refusal(one, f"it contradicts {other.text!r}: nothing can meet both", where)


def _clash(one: Property, other: Property) -> bool:
    """Tell whether all that one of two properties checks is checked by both, and can never meet both conclusions."""
    premises = [(two.premise, "true") for two in (one, other) if two.premise is not None]
    if _possible(one, [*premises, (one.conclusion, "true"), (other.conclusion, "true")]):
        return False
    for narrow, wide in ((one, other), (other, one)):
        if wide.premise is None:
            return True
        inside = [] if narrow.premise is None else [(narrow.premise, "true")]
        if not _possible(one, [*inside, (wide.premise, "not true")]):
            return True
    return False


def _possible(about: Property, conditions: Sequence[tuple[Expression, str]]) -> bool:
    facts = []
    for one in about.aggregates:
        if one.function in ("count", "share"):
            facts.append(Demand(one.name, ">=", (1 if one.of is None else 0,)))
        if one.function == "share":
            facts.append(Demand(one.name, "<=", (1,)))
    return satisfiable(conditions, facts)


def satisfiable(conditions: Sequence[tuple[Expression, str]], facts: Sequence[Demand] = ()) -> bool:
    """Return False where no row can meet all conditions in the given modes; True where one may.

    facts: what is known of columns whatever the row, where they are not null.
    """
    try:
        parts = [_alternatives(expression.tree, _mode(mode)) for expression, mode in conditions]
        whole: Alternatives = reduce(_both, parts, NOTHING)
    except _TooMany:
        return True
    return any(_consistent(demands, facts) for demands in whole)


def _mode(mode: str) -> Mode:
    return next(one for one in VALUES if one == mode)


def _both(one: Alternatives, other: Alternatives) -> Alternatives:
    if len(one) * len(other) > MOST_ALTERNATIVES:
        raise _TooMany
    return [(*left, *right) for left, right in product(one, other)]


def _alternatives(node: ast.expr, mode: Mode) -> Alternatives:
    """Return the alternatives by which a condition is true, false, not true or not false."""
    match node:
        case ast.UnaryOp(op=ast.Not()):
            return _alternatives(node.operand, OPPOSITE[mode])
        case ast.BoolOp():
            return _joined(
                [_alternatives(one, mode) for one in node.values],
                isinstance(node.op, ast.And) == (mode in ("true", "not false")),
            )
        case ast.Compare():
            sides = [node.left, *node.comparators]
            pairs = zip(sides, node.ops, sides[1:], strict=False)
            return _joined([_compared(*pair, mode) for pair in pairs], mode in ("true", "not false"))
        case ast.Constant(value=bool() | None as value):
            truth = {True: "t", False: "f", None: "n"}[value]
            return [()] if truth in VALUES[mode] else []
    return [(Demand(ast.unparse(node), "is", tuple(sorted(VALUES[mode]))),)]


def _joined(parts: list[Alternatives], conjunction: bool) -> Alternatives:
    if conjunction:
        return reduce(_both, parts)
    found = [one for part in parts for one in part]
    if len(found) > MOST_ALTERNATIVES:
        raise _TooMany
    return found


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, mode: Mode) -> Alternatives:
    name = column_name(left)
    if isinstance(op, ast.Is | ast.IsNot):
        is_null = isinstance(op, ast.Is) == (mode in ("true", "not false"))
        subject = ast.unparse(left) if name is None else name
        return [(Demand(subject, "null" if is_null else "not null"),)]
    demand = _demand(left, op, right)
    if demand is None:
        text = ast.unparse(ast.Compare(left, [op], [right]))
        return [(Demand(text, "is", tuple(sorted(VALUES[mode]))),)]
    if mode in ("false", "not true"):
        demand = demand._replace(sign=NEGATED[demand.sign])
    if mode.startswith("not"):
        return [(demand,), (Demand(demand.column, "null"),)]
    return [(demand,)]


def _demand(left: ast.expr, op: ast.cmpop, right: ast.expr) -> Demand | None:
    """Return what a comparison asks of a column, None where it is not one of a column with constants."""
    name, other = column_name(left), column_name(right)
    if isinstance(op, ast.In | ast.NotIn):
        if name is None or not isinstance(right, ast.List | ast.Tuple):
            return None
        return _plain(name, "in" if isinstance(op, ast.In) else "not in", constants(right))
    sign = SIGNS[type(op)]
    if name is not None and (value := _constant(right)) is not None:
        return _plain(name, sign, [value])
    if other is not None and (value := _constant(left)) is not None:
        return _plain(other, TURNED[sign], [value])
    return None


def _plain(name: str, sign: str, values: list[Constant]) -> Demand | None:
    """Return a demand, None for texts that may stand for dates and for an order of texts."""
    texts = [value for value in values if isinstance(value, str)]
    if any(_DATE.match(text) for text in texts) or (texts and sign not in ("==", "!=", "in", "not in")):
        return None
    return Demand(name, sign, tuple(values))


def _constant(node: ast.expr) -> Constant | None:
    found = constants(ast.List([node], ast.Load()))
    return found[0] if found else None


@dataclass
class _Column:
    """What is left of the values of a column. allowed: the only ones, None = any within the range."""

    null: bool | None = None
    least: float = -math.inf
    most: float = math.inf
    open_least: bool = False
    open_most: bool = False
    allowed: frozenset[Constant] | None = None
    barred: frozenset[Constant] = frozenset()
    truths: frozenset[str] = frozenset("tfn")
    kinds: frozenset[bool] = frozenset()

    def take(self, demand: Demand) -> bool:
        """Add a demand; False where a null is asked for and a value too."""
        sign, values = demand.sign, demand.values
        if sign == "is":
            self.truths &= frozenset(str(value) for value in values)
            return bool(self.truths)
        wants_null = sign == "null"
        if self.null is not None and self.null != wants_null:
            return False
        self.null = wants_null
        self.kinds |= frozenset(isinstance(value, str) for value in values)
        if sign in ("==", "in"):
            self.allowed = frozenset(values) if self.allowed is None else self.allowed & frozenset(values)
        elif sign in ("!=", "not in"):
            self.barred |= frozenset(values)
        elif sign in ("<", "<="):
            self._below(float(values[0]), sign == "<")
        elif sign in (">", ">="):
            self._above(float(values[0]), sign == ">")
        return True

    def _below(self, bound: float, is_open: bool) -> None:
        if bound < self.most or (bound == self.most and is_open):
            self.most, self.open_most = bound, is_open

    def _above(self, bound: float, is_open: bool) -> None:
        if bound > self.least or (bound == self.least and is_open):
            self.least, self.open_least = bound, is_open

    def has_room(self) -> bool:
        """Tell whether a value is left; demands on texts and numbers at once are another error, found later."""
        if self.null or len(self.kinds) > 1:
            return True
        if self.allowed is not None:
            return any(self._inside(value) for value in self.allowed - self.barred)
        if self.least == self.most:
            return not (self.open_least or self.open_most or self.least in self.barred)
        return self.least < self.most

    def _inside(self, value: Constant) -> bool:
        if isinstance(value, str):
            return True
        above = value > self.least or (value == self.least and not self.open_least)
        return above and (value < self.most or (value == self.most and not self.open_most))


def _consistent(demands: Sequence[Demand], facts: Sequence[Demand]) -> bool:
    columns: dict[str, _Column] = {}
    for one in demands:
        if not columns.setdefault(one.column, _Column()).take(one):
            return False
    for fact in facts:
        if fact.column in columns and not columns[fact.column].null:
            columns[fact.column].take(fact)
    return all(column.has_room() for column in columns.values())


def _refusal(one: Property, found: str, where: str) -> RecipeError:
    remedy = "correct the property, or leave it out"
    return RecipeError(f"the property {one.text!r} cannot be met", found=found, where=where, remedy=remedy)
