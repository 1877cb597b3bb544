import json

import pytest

from llmplatform.errors import BackendThrottled
from llmplatform.redaction import describe_fault, safe_label


def raised_by(cause: BaseException) -> BaseException:
    try:
        try:
            raise cause
        except type(cause) as inner:
            raise BackendThrottled("canary", detail="canary") from inner
    except BackendThrottled as error:
        return error


def test_a_fault_is_told_by_type_and_code() -> None:
    error = raised_by(ConnectionResetError(104, "canary"))
    assert describe_fault(error) == "BackendThrottled[backend_throttled] < ConnectionResetError[ECONNRESET]"


def test_a_parser_that_quotes_its_input_is_not_quoted() -> None:
    with pytest.raises(json.JSONDecodeError) as raised:
        json.loads('{"canary')
    assert describe_fault(raised.value) == "JSONDecodeError"


def test_a_chain_of_causes_ends() -> None:
    error: BaseException = ValueError()
    for _ in range(20):
        outer = ValueError()
        outer.__cause__ = error
        error = outer
    assert describe_fault(error).count("ValueError") == 5


def test_a_suppressed_context_is_not_told() -> None:
    error = ValueError()
    error.__context__ = KeyError()
    error.__suppress_context__ = True
    assert describe_fault(error) == "ValueError"


@pytest.mark.parametrize("text", ["throttlingException", "com.amazon#Error", "end_turn", "429", "a/b:c-d"])
def test_labels_pass(text: str) -> None:
    assert safe_label(text) == text


@pytest.mark.parametrize("text", ["", "two words", "x" * 129, "ü", "a\nb", '{"a":1}'])
def test_anything_else_does_not(text: str) -> None:
    assert safe_label(text) == "_redacted"
