from typing import Any

import pytest

from sandbox.trace_filter import BadFilterError, summary_filter

SUMMARY: dict[str, Any] = {
    "Duration": 2.5,
    "ResponseTime": 1.5,
    "HasFault": True,
    "HasError": False,
    "HasThrottle": False,
    "IsPartial": False,
    "Http": {"HttpStatus": 503, "HttpURL": "/v1/chat/completions", "HttpMethod": "POST"},
    "ServiceIds": [{"Name": "gateway"}, {"Name": "evalworker"}],
    "Annotations": {
        "tenant": [
            {"AnnotationValue": {"StringValue": "acme"}},
            {"AnnotationValue": {"StringValue": "zeta"}},
        ],
        "n": [{"AnnotationValue": {"NumberValue": 5}}],
        "flag": [{"AnnotationValue": {"BooleanValue": True}}],
        "gen_ai.model": [{"AnnotationValue": {"StringValue": "m"}}],
    },
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('annotation.tenant = "zeta"', True),
        ('annotation[tenant] == "acme"', True),
        ('annotation[gen_ai.model] = "m"', True),
        ('annotation.tenant = "other"', False),
        ('annotation.missing = "x"', False),
        ("annotation.tenant", True),
        ("annotation.missing", False),
        ("annotation[n] = 5", True),
        ("annotation.n >= 6", False),
        ('annotation.n = "5"', False),
        ("annotation.flag = true", True),
        ("annotation.flag = 1", False),
        ("fault", True),
        ("fault = false", False),
        ("error", False),
        ("ok", False),
        ("ok = false", True),
        ("throttle OR partial", False),
        ("duration > 2.4 AND responsetime <= 1.5", True),
        ("http.status != 503", False),
        ("http.status >= 500 AND fault", True),
        ('http.url = "/v1/chat/completions"', True),
        ('http.method = "GET"', False),
        ('service("evalworker")', True),
        ('service("other")', False),
        ('error AND fault OR service("gateway")', True),
        ('service("gateway") OR error AND throttle', True),
        ("error OR fault AND duration < 1", False),
    ],
)
def test_a_summary_passes_what_is_true_of_it(*, expression: str, expected: bool) -> None:
    assert summary_filter(expression)(SUMMARY) is expected


def test_what_a_trace_does_not_say_passes_no_comparison() -> None:
    silent = SUMMARY | {"Http": {}}
    assert not summary_filter("http.status != 200")(silent)
    assert not summary_filter("http.status < 500")(silent)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "fault AND",
        "fault error",
        "colour",
        "duration",
        "duration >",
        "fault = 5",
        '!(annotation.tenant = "x")',
        'edge("a", "b")',
        'user = "me"',
        'annotation.tenant = "open',
        'service("a") = true',
    ],
)
def test_what_is_not_known_is_refused_and_not_ignored(expression: str) -> None:
    with pytest.raises(BadFilterError):
        summary_filter(expression)
