"""Rules of composite alarms: read, evaluated, and put in an order in which children come first.

Pure. Grammar (PutCompositeAlarm, "AlarmRule"): `ALARM(x)`, `OK(x)`, `INSUFFICIENT_DATA(x)` of a name or an
ARN, quoted or not; `AT_LEAST(2, ALARM, (a, b, c))`, also with a percentage and with `NOT` before the state;
`TRUE`, `FALSE`, `NOT`, `AND` before `OR`, parentheses to any depth.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, assert_never, get_args

from sandbox.alarms.definitions import State

_TOKEN: Final = re.compile(r'\s*([(),]|"(?:[^"\\]|\\.)*"|[^\s(),"]+)')
_COUNT: Final = re.compile(r"(\d+)(%?)")
_MAX_DEPTH: Final = 256
_ALL_PERCENT: Final = 100


class RuleError(Exception):
    """It is no rule. Tells what was expected where."""


@dataclass(frozen=True, slots=True)
class Constant:
    """TRUE or FALSE."""

    value: bool


@dataclass(frozen=True, slots=True)
class Is:
    """Is an alarm in a state; `alarm` is a name or an ARN."""

    alarm: str
    state: State


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Are so many (or so many percent) of the alarms in a state, or with `negated` not in it."""

    count: int
    percent: bool
    negated: bool
    state: State
    alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Joined:
    """All of them, or any."""

    by: Literal["AND", "OR"]
    operands: tuple["Node", ...]


Node = Constant | Is | AtLeast | Not | Joined


@functools.lru_cache(maxsize=4_096)
def parse(rule: str) -> Node:
    """Read a rule. Raises RuleError."""
    tokens = _Tokens(rule)
    node = _disjunction(tokens, 0)
    if tokens.word is not None:
        raise RuleError(f"unexpected {tokens.word!r} after the rule")
    return node


def evaluate(node: Node, states: Mapping[str, State]) -> bool:
    """Tell whether it holds; an alarm that is not in `states` (by name) is in none."""
    match node:
        case Constant(value):
            return value
        case Is(alarm, state):
            return states.get(name_of(alarm)) == state
        case AtLeast(count, percent, negated, state, alarms):
            hits = sum((states.get(name_of(alarm)) == state) != negated for alarm in alarms)
            return hits * _ALL_PERCENT >= count * len(alarms) if percent else hits >= count
        case Not(operand):
            return not evaluate(operand, states)
        case Joined("AND", operands):
            return all(evaluate(operand, states) for operand in operands)
        case Joined(_, operands):
            return any(evaluate(operand, states) for operand in operands)
        case _:
            assert_never(node)


def children(node: Node) -> list[str]:
    """Names of the alarms that a rule speaks of, each once, in its order."""
    return list(dict.fromkeys(name_of(alarm) for alarm in _alarms(node)))


def agreeing(node: Node, states: Mapping[str, State], value: bool) -> list[str]:  # noqa: FBT001  # the rule's
    """Names of the alarms whose own condition speaks for the rule being `value`, in its order."""
    return list(dict.fromkeys(_agreeing(node, states, value)))


def name_of(alarm: str) -> str:
    """Name of an alarm that is told by name or by ARN."""
    return alarm.split(":alarm:", 1)[-1] if alarm.startswith("arn:") else alarm


def in_order(rules: Mapping[str, Node]) -> tuple[list[str], list[str]]:
    """Names of composite alarms, children before parents, and those that depend on themselves.

    As on AWS, what is in a cycle or above one is not evaluated.
    """
    waits_for = {name: {child for child in children(rule) if child in rules} for name, rule in rules.items()}
    parents: dict[str, list[str]] = {name: [] for name in rules}
    for name, below in waits_for.items():
        for child in below:
            parents[child].append(name)
    ready = [name for name, below in waits_for.items() if not below]
    ordered: list[str] = []
    while ready:
        name = ready.pop()
        ordered.append(name)
        for parent in parents[name]:
            waits_for[parent].discard(name)
            if not waits_for[parent]:
                ready.append(parent)
    done = set(ordered)
    return ordered, [name for name in rules if name not in done]


def _alarms(node: Node) -> Iterator[str]:
    match node:
        case Is(alarm, _):
            yield alarm
        case AtLeast():
            yield from node.alarms
        case Not(operand):
            yield from _alarms(operand)
        case Joined(_, operands):
            for operand in operands:
                yield from _alarms(operand)


def _agreeing(node: Node, states: Mapping[str, State], value: bool) -> Iterable[str]:  # noqa: FBT001  # as above
    match node:
        case Is(alarm, state):
            if (states.get(name_of(alarm)) == state) == value:
                yield name_of(alarm)
        case AtLeast(_, _, negated, state, alarms):
            for alarm in alarms:
                if ((states.get(name_of(alarm)) == state) != negated) == value:
                    yield name_of(alarm)
        case Not(operand):
            yield from _agreeing(operand, states, not value)
        case Joined(_, operands):
            for operand in operands:
                yield from _agreeing(operand, states, value)


class _Tokens:
    """Words of a rule, one at a time; `word` is None at the end."""

    def __init__(self, rule: str) -> None:
        self._rule = rule.rstrip()
        self._at = 0
        self.word: str | None = None
        self.take()

    def take(self) -> str | None:
        """Hand out the word and go to the next."""
        word = self.word
        if self._at >= len(self._rule):
            self.word = None
            return word
        found = _TOKEN.match(self._rule, self._at)
        if found is None:
            raise RuleError(f"nothing that a rule has at character {self._at}")
        self._at = found.end()
        self.word = found[1]
        return word

    def expect(self, *words: str) -> str:
        """Hand out the word if it is one of these."""
        if self.word not in words:
            raise RuleError(f"{self.word or 'the end'!r} where {' or '.join(words)} should be")
        return self.take() or ""

    def reference(self) -> str:
        """Hand out an alarm's name or ARN, without its quotes."""
        word = self.take()
        if word is None or word in "(),":
            raise RuleError(f"{word or 'the end'!r} where an alarm should be")
        return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def _disjunction(tokens: _Tokens, depth: int) -> Node:
    operands = [_conjunction(tokens, depth)]
    while tokens.word == "OR":
        tokens.take()
        operands.append(_conjunction(tokens, depth))
    return operands[0] if len(operands) == 1 else Joined("OR", tuple(operands))


def _conjunction(tokens: _Tokens, depth: int) -> Node:
    operands = [_operand(tokens, depth)]
    while tokens.word == "AND":
        tokens.take()
        operands.append(_operand(tokens, depth))
    return operands[0] if len(operands) == 1 else Joined("AND", tuple(operands))


def _operand(tokens: _Tokens, depth: int) -> Node:
    if depth > _MAX_DEPTH:
        raise RuleError(f"nested more than {_MAX_DEPTH} deep")
    match tokens.take():
        case "NOT":
            return Not(_operand(tokens, depth + 1))
        case "(":
            node = _disjunction(tokens, depth + 1)
            tokens.expect(")")
            return node
        case "TRUE":
            return Constant(value=True)
        case "FALSE":
            return Constant(value=False)
        case "AT_LEAST":
            return _at_least(tokens)
        case "OK" | "ALARM" | "INSUFFICIENT_DATA" as state:
            tokens.expect("(")
            alarm = tokens.reference()
            tokens.expect(")")
            return Is(alarm, state)
        case other:
            raise RuleError(f"{other or 'the end'!r} where a condition should be")


def _at_least(tokens: _Tokens) -> AtLeast:
    tokens.expect("(")
    count = _COUNT.fullmatch(tokens.take() or "")
    if count is None:
        raise RuleError("AT_LEAST wants a count or a percentage first")
    tokens.expect(",")
    negated = tokens.word == "NOT"
    if negated:
        tokens.take()
    state = tokens.expect(*get_args(State))
    tokens.expect(",")
    tokens.expect("(")
    alarms = [tokens.reference()]
    while tokens.expect(",", ")") == ",":
        alarms.append(tokens.reference())
    tokens.expect(")")
    return AtLeast(int(count[1]), bool(count[2]), negated, state, tuple(alarms))  # type: ignore[arg-type]  # expected
