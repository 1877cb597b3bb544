"""Rules of composite alarms are read by AWS's grammar and evaluated over states."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.alarms.composites import (
    AtLeast,
    Constant,
    Is,
    Joined,
    Node,
    Not,
    RuleError,
    agreeing,
    children,
    evaluate,
    in_order,
    parse,
)
from sandbox.alarms.definitions import State

STATES: dict[str, State] = {"a": "ALARM", "b": "OK", "c": "INSUFFICIENT_DATA", "with space": "ALARM"}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("ALARM(a)", True),
        ("ALARM(b)", False),
        ("OK(b)", True),
        ("INSUFFICIENT_DATA(c)", True),
        ('ALARM("with space")', True),
        ("ALARM(arn:aws:cloudwatch:us-east-1:000000000000:alarm:a)", True),
        ('ALARM("arn:aws:cloudwatch:us-east-1:000000000000:alarm:with space")', True),
        ("ALARM( a )", True),
        ("ALARM (a)", True),
        ("TRUE", True),
        ("FALSE", False),
        ("NOT ALARM(a)", False),
        ("NOT NOT ALARM(a)", True),
        ("NOT (ALARM(a) AND ALARM(b))", True),
        ("ALARM(a) AND OK(b)", True),
        ("ALARM(b) OR ALARM(a)", True),
        # AND binds closer than OR
        ("ALARM(a) OR ALARM(a) AND FALSE", True),
        ("(ALARM(a) OR ALARM(a)) AND FALSE", False),
        ('AT_LEAST(2, ALARM, (a, b, "with space"))', True),
        ('AT_LEAST(3, ALARM, (a, b, "with space"))', False),
        ("AT_LEAST(50%, OK, (a, b))", True),
        ("AT_LEAST(51%, OK, (a, b))", False),
        ("AT_LEAST(2, NOT ALARM, (a, b, c))", True),
        ("ALARM(gone)", False),
        ("NOT OK(gone)", True),
        ("(" * 200 + "TRUE" + ")" * 200, True),
    ],
)
def test_a_rule_is_read_and_evaluated(rule: str, *, holds: bool) -> None:
    assert evaluate(parse(rule), STATES) is holds


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "ALARM",
        "ALARM(",
        "ALARM()",
        "ALARM(a",
        "ALARM(a))",
        "ALARM(a) ALARM(b)",
        "AND ALARM(a)",
        "ALARM(a) XOR ALARM(b)",
        "alarm(a)",
        "AT_LEAST(x, ALARM, (a))",
        "AT_LEAST(1, RED, (a))",
        "AT_LEAST(1, ALARM, ())",
        'ALARM("a)',
        "(" * 300 + "TRUE" + ")" * 300,
    ],
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(RuleError):
        parse(rule)


def test_children_are_named_once_in_the_rules_order() -> None:
    arn = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:a"
    assert children(parse(f"OK(b) AND (ALARM({arn}) OR ALARM(a)) AND AT_LEAST(1, OK, (d, b))")) == [
        "b",
        "a",
        "d",
    ]


def test_children_that_speak_for_the_result_are_told_from_others() -> None:
    rule = parse("(ALARM(a) OR ALARM(b)) AND NOT ALARM(c)")
    assert agreeing(rule, STATES, value=True) == ["a", "c"]
    assert agreeing(rule, STATES, value=False) == ["b"]


def test_children_come_before_their_parents_and_cycles_are_left_out() -> None:
    rules = {
        "top": parse("ALARM(middle) OR ALARM(metric)"),
        "middle": parse("ALARM(low)"),
        "low": parse("ALARM(metric)"),
        "x": parse("ALARM(y)"),
        "y": parse("ALARM(x)"),
        "above": parse("ALARM(x)"),
    }
    ordered, in_cycles = in_order(rules)
    assert ordered == ["low", "middle", "top"]
    assert in_cycles == ["x", "y", "above"]


NAMES = st.sampled_from(["a", "b", "c", "d"])
NODES: st.SearchStrategy[Node] = st.recursive(
    st.builds(Constant, st.booleans())
    | st.builds(Is, NAMES, st.sampled_from(get_args(State)))
    | st.builds(
        AtLeast,
        st.integers(0, 4),
        st.booleans(),
        st.booleans(),
        st.sampled_from(get_args(State)),
        st.lists(NAMES, min_size=1, max_size=4).map(tuple),
    ),
    lambda below: (
        st.builds(Not, below)
        | st.builds(
            Joined, st.sampled_from(["AND", "OR"]), st.lists(below, min_size=2, max_size=3).map(tuple)
        )
    ),
)


def written(node: Node) -> str:
    """A rule's text, with more parentheses than it needs."""
    match node:
        case Constant(value):
            return str(value).upper()
        case Is(alarm, state):
            return f'{state}("{alarm}")'
        case AtLeast(count, percent, negated, state, alarms):
            return f"AT_LEAST({count}{'%' * percent}, {'NOT ' * negated}{state}, ({', '.join(alarms)}))"
        case Not(operand):
            return f"NOT ({written(operand)})"
        case Joined(by, operands):
            return f" {by} ".join(f"({written(operand)})" for operand in operands)


def in_python(node: Node, states: dict[str, State]) -> bool:
    """The rule as Python evaluates it: a second opinion."""
    match node:
        case Constant(value):
            return value
        case Is(alarm, state):
            return states.get(alarm) == state
        case AtLeast(count, percent, negated, state, alarms):
            hits = len([1 for alarm in alarms if (states.get(alarm) != state) is negated])
            return hits / len(alarms) * 100 >= count if percent else hits >= count
        case Not(operand):
            return not in_python(operand, states)
        case Joined(by, operands):
            told = [str(in_python(operand, states)) for operand in operands]
            return bool(eval(f" {by.lower()} ".join(told)))  # noqa: S307  # words of ours alone


@given(NODES, st.dictionaries(NAMES, st.sampled_from(get_args(State))))
def test_what_is_written_is_read_and_means_what_it_says(node: Node, states: dict[str, State]) -> None:
    assert evaluate(parse(written(node)), states) == in_python(node, states)


@given(NODES, st.dictionaries(NAMES, st.sampled_from(get_args(State))))
def test_children_that_speak_for_a_result_are_among_the_rules(node: Node, states: dict[str, State]) -> None:
    rule = parse(written(node))
    assert set(agreeing(rule, states, evaluate(rule, states))) <= set(children(rule))
