"""docs/security.md's matrix says what the templates say, and a cell is what its question is answered."""

import pytest

from infra.app import Platform
from infra.document import replaced
from infra.matrix import DOCUMENT, PART, matrix
from infra.permissions.account import Account
from infra.policy import Grant, allows, policies_of, roles_of
from infra.resolved import Resolved, key_arn
from infra.settings import Deployment
from infra.who_may_what import Row, rows
from llmplatform.aws.tables import DATA_KEYS


def test_the_document_tells_what_the_templates_say(prod: Platform, deployment: Deployment) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    made = matrix(prod, deployment)
    assert replaced(text, PART, made) == text, "python -m infra.matrix writes it again"


@pytest.fixture(name="asked")
def all_rows(deployment: Deployment) -> list[Row]:
    return list(rows(Account(deployment, {})))


def test_every_class_of_data_has_a_row(asked: list[Row]) -> None:
    """But for topics: what is in them is on its way, and no process asks for it."""
    assert {key.data_class for key in DATA_KEYS} - {row.key for row in asked} == {"topics"}


def test_who_may_do_everything_may_do_what_every_row_asks(asked: list[Row]) -> None:
    everything = [Grant("Allow", ("*",), ("*",), {})]
    for row in asked:
        for ways in row.verbs.values():
            assert all(allows(everything, one) for way in ways for one in way), row.data


def test_an_action_without_the_key_reads_nothing(asked: list[Row]) -> None:
    without_keys = [Grant("Allow", ("athena:*", "dynamodb:*", "glue:*", "kinesis:*", "s3:*"), ("*",), {})]
    for row in asked:
        if row.key in {"samples", "scores", "usage"}:
            ways = row.verbs.get("r", ())
            assert not any(all(allows(without_keys, one) for one in way) for way in ways), row.data


def a_template() -> dict[str, object]:
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": ["s3:PutObject"], "Resource": ["*"]}
    keys = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": {"Fn::ImportValue": "data:key"}}
    return {
        "Resources": {
            "r": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": "reader",
                    "Policies": [{"PolicyName": "own", "PolicyDocument": {"Statement": [keys]}}],
                    "ManagedPolicyArns": [{"Ref": "m"}, "arn:aws:iam::aws:policy/AWS"],
                },
            },
            "m": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {"ManagedPolicyName": "never", "PolicyDocument": {"Statement": [deny]}},
            },
            "p": {
                "Type": "AWS::IAM::Policy",
                "Properties": {"Roles": [{"Ref": "r"}], "PolicyDocument": {"Statement": [allow]}},
            },
        }
    }


def test_a_role_has_what_is_in_it_what_is_attached_to_it_and_what_forbids() -> None:
    key = {"Type": "AWS::KMS::Key", "Properties": {}}
    alias = {
        "Type": "AWS::KMS::Alias",
        "Properties": {"AliasName": "alias/llm-platform/scores", "TargetKeyId": {"Fn::GetAtt": ["k", "Arn"]}},
    }
    data = {
        "Resources": {"k": key, "a": alias},
        "Outputs": {"o": {"Export": {"Name": "data:key"}, "Value": {"Fn::GetAtt": ["k", "Arn"]}}},
    }
    resolved = Resolved({"data": data, "identity": a_template()})
    (role,) = roles_of(resolved).items()
    assert role[0] == "reader"
    assert {(one.effect, one.actions, one.resources) for one in role[1]} == {
        ("Allow", ("kms:Decrypt",), (key_arn("scores"),)),
        ("Allow", ("s3:GetObject",), ("*",)),
        ("Deny", ("s3:PutObject",), ("*",)),
    }
    assert set(policies_of(resolved)) == {"never"}
