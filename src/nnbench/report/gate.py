"""Conditions for continuous integration: `torch.time > 1.1 * numpy.time`, without eval.

    condition := any of `and`, `or`, `not`, comparisons of sums and products
    number    := 1.5, 2e-3, 95%
    figure    := GROUP.FIGURE, the median over seeds: time (seconds per epoch), accuracy,
                 train_accuracy, gap, loss, train_loss, parameters, memory (bytes), total_time

A group is named by its label, in quotes where that is no plain word: 'keras fit'.time.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping

from nnbench.errors import ConfigError
from nnbench.schema import suggest

Figures = Mapping[str, Mapping[str, float]]  # by group and figure
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%(?!\s*[\w(.'\"])")
LONGEST = 500


def holds(condition: str, figures: Figures) -> bool:
    """Tell whether `condition` is true of `figures`.

    Raises ConfigError, with what is known, for anything that the grammar does not have.
    """
    try:
        tree = ast.parse(_PERCENT.sub(r"(\1/100)", condition[:LONGEST].strip()), mode="eval")
        if len(condition) > LONGEST:
            raise SyntaxError
    except (SyntaxError, ValueError):
        raise _refused(condition, "it is no condition") from None
    found = _Reader(condition, figures).read(tree.body)
    if not isinstance(found, bool):
        raise _refused(condition, "it compares nothing")
    return found


class _Reader:
    """Walks a syntax tree; knows comparisons, arithmetic, figures, and nothing else."""

    def __init__(self, condition: str, figures: Figures) -> None:
        self.condition, self.figures = condition, figures

    def read(self, node: ast.expr) -> bool | float:  # noqa: PLR0911 - a table
        """Return the value of a node."""
        match node:
            case ast.BoolOp():
                values = [self._truth(value) for value in node.values]
                return all(values) if isinstance(node.op, ast.And) else any(values)
            case ast.UnaryOp(op=ast.Not()):
                return not self._truth(node.operand)
            case ast.UnaryOp(op=ast.USub()):
                return -self._number(node.operand)
            case ast.Compare():
                sides = [self._number(side) for side in (node.left, *node.comparators)]
                pairs = zip(node.ops, sides, sides[1:], strict=False)
                return all(self._compare(op, a, b) for op, a, b in pairs)
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                try:
                    return _ARITHMETIC[type(node.op)](
                        self._number(node.left), self._number(node.right)
                    )
                except ZeroDivisionError:
                    raise _refused(self.condition, "it divides by zero") from None
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return float(node.value)  # type: ignore[arg-type]
            case ast.Attribute(value=ast.Name(id=group)):
                return self._figure(group, node.attr)
            case ast.Attribute(value=ast.Constant(value=str(group))):
                return self._figure(group, node.attr)
        raise _refused(self.condition, f"it may not have {ast.unparse(node)[:40]}")

    def _truth(self, node: ast.expr) -> bool:
        found = self.read(node)
        if not isinstance(found, bool):
            raise _refused(self.condition, f"{ast.unparse(node)[:40]} is a number")
        return found

    def _number(self, node: ast.expr) -> float:
        found = self.read(node)
        if isinstance(found, bool):
            raise _refused(self.condition, f"{ast.unparse(node)[:40]} is no number")
        return found

    def _compare(self, op: ast.cmpop, a: float, b: float) -> bool:
        if type(op) not in _COMPARE:
            raise _refused(self.condition, "it may have < <= > >= == != alone")
        return _COMPARE[type(op)](a, b)

    def _figure(self, group: str, name: str) -> float:
        if group not in self.figures:
            known = ", ".join(self.figures)
            hint = suggest(group, list(self.figures))
            raise _refused(self.condition, f"there is no group {group}, but {known}{hint}")
        found = self.figures[group]
        if name not in found:
            hint = suggest(name, list(found))
            raise _refused(self.condition, f"{group} has {', '.join(found)}, not {name}{hint}")
        return found[name]


def _refused(condition: str, why: str) -> ConfigError:
    return ConfigError(f"Received --fail-if {condition!r}; {why}.")
