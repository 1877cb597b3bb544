"""X-Ray's filter expressions, as far as a view of single traces asks them: tests of trace summaries.

Terms joined by AND and OR (AND binds closer), without brackets: `fault`, `error`, `throttle`, `ok` and
`partial`, also with `= false`; `responsetime`, `duration` and `http.status` against a number; `http.url`,
`http.method` and `annotation[key]` (or `annotation.key`) against a value; `service("name")`. The rest of the
language is refused, never ignored.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

Summary = Mapping[str, Any]
Test = Callable[[Summary], bool]


class BadFilterError(Exception):
    """A filter expression that is none, or is not known here."""


_TOKEN: Final = re.compile(
    r"""\s*(?: (?P<text>"[^"]*") | (?P<number>-?\d+(?:\.\d+)?)(?![\w.]) | (?P<operator><=|>=|!=|={1,2}|<|>)
        | (?P<annotation>annotation(?:\.\w+|\[[\w.]+\])) | (?P<service>service\(\s*"[^"]*"\s*\))
        | (?P<word>[A-Za-z][\w.]*) )""",
    re.VERBOSE,
)
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FLAGS: Final[Mapping[str, Test]] = {
    "fault": lambda summary: bool(summary["HasFault"]),
    "error": lambda summary: bool(summary["HasError"]),
    "throttle": lambda summary: bool(summary["HasThrottle"]),
    "partial": lambda summary: bool(summary["IsPartial"]),
    "ok": lambda summary: not (summary["HasFault"] or summary["HasError"] or summary["HasThrottle"]),
}
_VALUES: Final[Mapping[str, Callable[[Summary], Any]]] = {
    "responsetime": lambda summary: summary["ResponseTime"],
    "duration": lambda summary: summary["Duration"],
    "http.status": lambda summary: summary["Http"].get("HttpStatus"),
    "http.url": lambda summary: summary["Http"].get("HttpURL"),
    "http.method": lambda summary: summary["Http"].get("HttpMethod"),
}


def summary_filter(expression: str) -> Test:
    """Read an expression; gives a test of summaries. Raises BadFilterError."""
    tokens = _tokens(expression)
    either: list[list[Test]] = [[]]
    while True:
        either[-1].append(_term(tokens, expression))
        if not tokens:
            return lambda summary: any(all(test(summary) for test in both) for both in either)
        kind, joint = tokens.pop(0)
        if kind != "word" or joint.upper() not in ("AND", "OR"):
            raise BadFilterError(f"AND or OR is missing in {expression!r}")
        if joint.upper() == "OR":
            either.append([])


def _tokens(expression: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(expression.rstrip()):
        match = _TOKEN.match(expression, at)
        if match is None or match.lastgroup is None:
            raise BadFilterError(f"cannot be read from {expression[at:]!r} on")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def _term(tokens: list[tuple[str, str]], expression: str) -> Test:
    if not tokens:
        raise BadFilterError(f"a term is missing in {expression!r}")
    kind, keyword = tokens.pop(0)
    compare, value = _comparison(tokens)
    if kind == "service" and compare is None:
        name = keyword.split('"')[1]
        return lambda summary: any(service["Name"] == name for service in summary["ServiceIds"])
    if kind == "annotation":
        return _annotated(keyword.removeprefix("annotation").strip(".[]"), compare, value)
    if keyword in _FLAGS and (compare is None or isinstance(value, bool)):
        flag = _FLAGS[keyword]
        return flag if compare is None else lambda summary: compare(flag(summary), value)
    if keyword in _VALUES and compare is not None:
        read, wanted = _VALUES[keyword], compare
        return lambda summary: _holds(read(summary), wanted, value)
    raise BadFilterError(f"{keyword!r} is not known here, or not so")


def _comparison(tokens: list[tuple[str, str]]) -> tuple[Callable[[Any, Any], bool] | None, Any]:
    """The operator and the value that come next, if an operator does."""
    if not tokens or tokens[0][0] != "operator":
        return None, None
    compare = _COMPARE[tokens.pop(0)[1]]
    kind, value = tokens.pop(0) if tokens else ("", "")
    if kind == "text":
        return compare, value[1:-1]
    if kind == "number":
        return compare, float(value)
    if kind == "word" and value.lower() in ("true", "false"):
        return compare, value.lower() == "true"
    raise BadFilterError("a comparison has no value")


def _annotated(name: str, compare: Callable[[Any, Any], bool] | None, value: Any) -> Test:
    def values(summary: Summary) -> Iterable[Any]:
        return (next(iter(one["AnnotationValue"].values())) for one in summary["Annotations"].get(name, ()))

    if compare is None:
        return lambda summary: name in summary["Annotations"]
    return lambda summary: any(_holds(one, compare, value) for one in values(summary))


def _holds(found: Any, compare: Callable[[Any, Any], bool], value: Any) -> bool:
    """Whether a comparison holds; what is missing, or of another kind, holds none."""
    if isinstance(found, bool) is not isinstance(value, bool):
        return False
    if isinstance(found, str) is not isinstance(value, str) or found is None:
        return False
    return compare(found, value)
