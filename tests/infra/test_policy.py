"""The evaluator that all claims about roles rest on: IAM's rules, one by one."""

import pytest

from infra.policy import Asked, Grant, allows

TABLE = "arn:aws:dynamodb:us-east-1:111111111111:table/costs"


def grant(
    action: str = "dynamodb:Query",
    resource: str = TABLE,
    effect: str = "Allow",
    **conditions: dict[str, tuple[str, ...]],
) -> Grant:
    assert effect in {"Allow", "Deny"}
    named = {operator.replace("_", ":"): keys for operator, keys in conditions.items()}
    return Grant("Allow" if effect == "Allow" else "Deny", (action,), (resource,), named)


def asked(action: str = "dynamodb:Query", resource: str = TABLE, **context: str | tuple[str, ...]) -> Asked:
    return Asked(action, resource, {f"dynamodb:{name}": value for name, value in context.items()})


def test_what_nobody_allows_is_not_allowed() -> None:
    assert not allows([], asked())
    assert not allows([grant(action="dynamodb:GetItem")], asked())
    assert not allows([grant(resource=f"{TABLE}-other")], asked())
    assert allows([grant()], asked())


def test_one_who_forbids_outweighs_all_who_allow() -> None:
    assert not allows([grant(), grant("*", "*"), grant("dynamodb:*", "*", effect="Deny")], asked())


def test_actions_do_not_care_for_case_and_resources_do() -> None:
    assert allows([grant(action="DynamoDB:query")], asked())
    assert not allows([grant(resource=TABLE.upper())], asked())


@pytest.mark.parametrize(
    ("pattern", "resource", "fits"),
    [
        (f"{TABLE}/index/*", f"{TABLE}/index/by-trace", True),
        (f"{TABLE}/index/*", TABLE, False),
        ("arn:aws:bedrock:*::foundation-model/a", "arn:aws:bedrock:::foundation-model/a", True),
        ("arn:aws:bedrock:*::foundation-model/a", "arn:aws:bedrock:us-west-2::foundation-model/a.b", False),
        (f"{TABLE}?", f"{TABLE}s", True),
        (f"{TABLE}?", TABLE, False),
        (f"{TABLE}.", f"{TABLE}s", False),
    ],
)
def test_a_star_stands_for_any_text_or_none(pattern: str, resource: str, *, fits: bool) -> None:
    assert allows([grant(resource=pattern)], asked(resource=resource)) == fits


def test_of_several_values_one_is_enough_and_of_several_keys_all_are_needed() -> None:
    held = grant(StringEquals={"dynamodb:Select": ("COUNT", "SPECIFIC_ATTRIBUTES"), "dynamodb:Owner": ("a",)})
    assert allows([held], asked(Select="COUNT", Owner="a"))
    assert not allows([held], asked(Select="COUNT", Owner="b"))
    assert not allows([held], asked(Select="ALL_ATTRIBUTES", Owner="a"))


def test_what_is_not_in_the_request_equals_nothing() -> None:
    assert not allows([grant(StringEquals={"dynamodb:Select": ("COUNT",)})], asked())
    assert not allows([grant(StringLike={"dynamodb:Select": ("*",)})], asked())


def test_null_asks_whether_a_key_is_there() -> None:
    there, missing = grant(Null={"dynamodb:Select": ("false",)}), grant(Null={"dynamodb:Select": ("true",)})
    assert allows([there], asked(Select="COUNT"))
    assert not allows([there], asked())
    assert allows([missing], asked())
    assert not allows([missing], asked(Select="COUNT"))


def test_for_all_values_holds_every_value_and_none() -> None:
    scores = grant(ForAllValues_StringEquals={"dynamodb:Attributes": ("score", "minute")})
    assert allows([scores], asked(Attributes=("score",)))
    assert not allows([scores], asked(Attributes=("score", "content")))
    assert allows([scores], asked())


def test_for_any_value_wants_one_that_is_there() -> None:
    asked_for = grant(ForAnyValue_StringEquals={"dynamodb:Attributes": ("score", "minute")})
    assert allows([asked_for], asked(Attributes=("score", "content")))
    assert not allows([asked_for], asked(Attributes=("content",)))
    assert not allows([asked_for], asked())


def test_names_of_condition_keys_do_not_care_for_case() -> None:
    assert allows([grant(StringEquals={"DynamoDB:select": ("COUNT",)})], asked(Select="COUNT"))
    assert not allows([grant(StringEquals={"dynamodb:Select": ("count",)})], asked(Select="COUNT"))


def test_a_condition_that_is_not_understood_is_no_pass() -> None:
    with pytest.raises(ValueError, match="DateLessThan"):
        allows(
            [grant(DateLessThan={"aws:CurrentTime": ("2030-01-01",)})],
            Asked("dynamodb:Query", TABLE, {"aws:CurrentTime": "x"}),
        )
