"""Expressions over the figures of runs, `torch.time > 1.1 * numpy.time`, without eval.

condition := any of `and`, `or`, `not`, comparisons of sums and products
number    := 1.5, 2e-3, 95%
figure    := NAME.FIGURE, as numpy.time, 'keras fit'.accuracy; the name in quotes where it is
             no plain word
end       := figure.low, figure.high, the ends of its interval: torch.time.low
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping

from nnbench.errors import ConfigError
from nnbench.reporting.statistics import FEWEST
from nnbench.schema import closest, suggest

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
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%(?!\s*(?!(?:and|or)\b)[\w(.'\"])")
LONGEST = 500
GRAMMAR = (
    "it takes figures of groups (torch.time), numbers, + - * /, min, max, comparisons, and or not"
)
TIMED = ("time", "total_time", "time_ratio", "target_ratio")
ENDS = ("low", "high")  # of an interval
COUNTS = ("parameters", "seeds", "diverged")  # figures without an interval
FIGURES = (
    "time", "accuracy", "train_accuracy", "gap", "loss", "total_time", "memory", *COUNTS,
)  # fmt: skip
# What records call them.
AS_RECORDED = {"test_accuracy": "accuracy", "test_loss": "loss", "epoch_time": "time"}
# Of two groups, as 'torch against numpy'.time_ratio.
OF_PAIRS = ("time_ratio", "target_ratio", "accuracy_difference", "loss_difference")


def evaluate(text: str, figures: Figures, what: str) -> bool | float:
    """Return the value of the expression `text`.

    Raises ConfigError, with what is known, for anything that the grammar does not have; `what` is
    what the message calls it, `--fail-if`.
    """
    reader = _Reader(text, figures, what)
    try:
        tree = ast.parse(_PERCENT.sub(r"(\1/100)", text[:LONGEST].strip()), mode="eval")
        if len(text) > LONGEST:
            raise SyntaxError
    except (SyntaxError, ValueError):
        raise reader.refused(
            "it cannot be read; write it as in torch.time > 2 * numpy.time"
        ) from None
    return reader.read(tree.body)


def holds(condition: str, figures: Figures) -> bool:
    """Tell whether `condition` is true of `figures`, as `nnbench report --fail-if` asks.

    Raises ConfigError as `evaluate` does, and for what is no condition.
    """
    found = evaluate(condition, figures, "--fail-if")
    if not isinstance(found, bool):
        raise ConfigError(f"Received --fail-if {condition!r}; it compares nothing.")
    return found


class _Any(dict[str, Mapping[str, float]]):
    """Figures of any name, as if every group and pair had all that there are, with intervals."""

    def __contains__(self, group: object) -> bool:
        return True

    def __missing__(self, group: str) -> Mapping[str, float]:
        known = OF_PAIRS if " against " in group else FIGURES
        every = [*known, *(f"{name}.{end}" for name in known if name not in COUNTS for end in ENDS)]
        return {name: 2.0 + place + len(group) / 7 for place, name in enumerate(every)}


def check_condition(condition: str) -> None:
    """Raise ConfigError for a `--fail-if` that is none, before there are figures to ask it of."""
    holds(condition, _Any())


def names(text: str) -> list[str]:
    """Return the names, in order, whose figures the expression `text` has."""
    return list(dict.fromkeys(name for name, _ in figures_in(text)))


def figures_in(text: str) -> list[tuple[str, str]]:
    """Return the figures, as (name, figure) in order, that the expression `text` has.

    An end of an interval is a figure, too: (name, "time.low").
    """
    found = []
    nodes = [ast.parse(_PERCENT.sub(r"(\1/100)", text.strip()), mode="eval").body]
    while nodes:
        node = nodes.pop(0)
        named = _figure_named(node)
        found += [named] if named else []
        nodes = [*([] if named else ast.iter_child_nodes(node)), *nodes]  # type: ignore[list-item]
    return list(dict.fromkeys(found))


def _figure_named(node: ast.AST) -> tuple[str, str] | None:
    """Return the (name, figure) that a node says, None where it says something else."""
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr=figure):
            return name, figure
        case ast.Attribute(value=ast.Constant(value=str(name)), attr=figure):
            return name, figure
        case ast.Attribute(value=ast.Attribute() as inner, attr="low" | "high" as end):
            found = _figure_named(inner)
            if found and "." not in found[1]:
                return found[0], f"{found[1]}.{end}"
    return None


class _Reader:
    """Walks a syntax tree; knows comparisons, arithmetic, figures, and nothing else."""

    def __init__(self, text: str, figures: Figures, what: str) -> None:
        self.text, self.figures, self.what = text, figures, what

    def refused(self, why: str) -> ConfigError:
        """Return the error to raise."""
        end = "" if why.endswith("?") else "."
        return ConfigError(f"Received {self.what} {self.text!r}; {why}{end}")

    def read(self, node: ast.expr) -> bool | float:  # noqa: PLR0911 - a table
        """Return the value of a node."""
        match node:
            case ast.BoolOp():
                truths = [self._truth(value) for value in node.values]
                return all(truths) if isinstance(node.op, ast.And) else any(truths)
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
                    raise self.refused("it divides by zero") from None
            case ast.Call(func=ast.Name(id="min" | "max" as name), keywords=[]) if node.args:
                values = [self._number(value) for value in node.args]
                return min(values) if name == "min" else max(values)
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return float(node.value)  # type: ignore[arg-type]
        if named := _figure_named(node):
            return self._figure(*named)
        hint = GRAMMAR
        if isinstance(node, ast.Attribute) and _figure_named(node.value):
            hint = f"an interval has {' and '.join(ENDS)}"
        if isinstance(node, ast.Name):
            meant = closest(AS_RECORDED.get(node.id, node.id), FIGURES) or "time"
            hint = f"a figure is a group's, as torch.{meant}"
        raise self.refused(f"it may not have {ast.unparse(node)[:40]}; {hint}")

    def _truth(self, node: ast.expr) -> bool:
        found = self.read(node)
        if not isinstance(found, bool):
            raise self.refused(f"{ast.unparse(node)[:40]} is a number")
        return found

    def _number(self, node: ast.expr) -> float:
        found = self.read(node)
        if isinstance(found, bool):
            raise self.refused(f"{ast.unparse(node)[:40]} is no number")
        return found

    def _compare(self, op: ast.cmpop, a: float, b: float) -> bool:
        if type(op) not in _COMPARE:
            raise self.refused("it may have < <= > >= == != alone")
        return _COMPARE[type(op)](a, b)

    def _figure(self, group: str, name: str) -> float:
        if group not in self.figures:
            known = ", ".join(self.figures)
            hint = suggest(group, list(self.figures))
            raise self.refused(f"there is no group {group}, but {known}{hint}")
        found = self.figures[group]
        if name not in found:
            raise self.refused(_lacking(group, name, found))
        return found[name]


def _lacking(group: str, name: str, found: Mapping[str, float]) -> str:
    """Say why `group` has no figure `name`."""
    figure, _, end = name.partition(".")
    if end and figure in COUNTS:
        return f"{group}.{figure} is a count and has no interval"
    if end and figure in found:
        return (
            f"{group}.{figure} has no interval: that takes {FEWEST} runs with different seeds"
            f"{', not contended' * (figure in TIMED)}, as of -m seed=0,1,2"
        )
    known = [each for each in found if "." not in each]
    hint = suggest(AS_RECORDED.get(figure, figure), known)
    if not found.get("seeds", 1.0):
        return f"{group} has no finished run that may be ranked"
    if figure == "target_ratio":
        hint = ": it takes every run of both to the target"
    if figure == "time":
        hint = ": its runs were contended; run them again on a quiet machine, with --fresh"
    return f"{group} has {', '.join(known)}, not {figure}{hint}"
