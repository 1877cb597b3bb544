"""Every bucket of every stack: private, asked over TLS alone, versioned, and who asked is logged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from aws_cdk.assertions import Template

from infra.app import Platform
from infra.resolved import Resolved
from infra.settings import Deployment

Json = Mapping[str, Any]
ACCESS_LOGS = "llm-platform-access-logs"
HOLD_LOGS_OF_ACCESS = {ACCESS_LOGS, "llm-platform-network-logs"}
ANSWERS_FOR_A_WEEK = {"llm-platform-athena"}
"""To dashboards: Athena gives each a name of its own and replaces none; they are asked for again at will."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What it is made with, and who may do what to it."""

    logical_id: str
    made: Json
    statements: list[Json]


Buckets = Mapping[str, Bucket]
"""By name, without account and region."""


@pytest.fixture(name="buckets", params=["dev", "prod"])
def buckets_of_a_deployment(
    request: pytest.FixtureRequest,
    templates: Callable[[Platform], Mapping[str, Template]],
    deployment: Deployment,
) -> Buckets:
    stacks = templates(request.getfixturevalue(request.param))
    resolved = Resolved({name: template.to_json() for name, template in stacks.items()})
    policies = {
        policy["Bucket"]: policy["PolicyDocument"]["Statement"]
        for _, policy in resolved.resources("AWS::S3::BucketPolicy")
    }
    return {
        made["BucketName"].removesuffix(f"-{deployment.account}-{deployment.region}"): Bucket(
            logical_id, made, policies[logical_id]
        )
        for logical_id, made in resolved.resources("AWS::S3::Bucket")
    }


def test_no_bucket_is_open_to_the_public(buckets: Buckets) -> None:
    for bucket in buckets.values():
        blocked = bucket.made["PublicAccessBlockConfiguration"]
        assert len(blocked) == 4
        assert set(blocked.values()) == {True}


def test_buckets_are_asked_over_tls_or_not_at_all(buckets: Buckets) -> None:
    for bucket in buckets.values():
        denied = [
            statement["Condition"]
            for statement in bucket.statements
            if (statement["Effect"], statement["Action"], statement["Principal"])
            == ("Deny", "s3:*", {"AWS": "*"})
            and f"{bucket.logical_id}.Arn/*" in statement["Resource"]
        ]
        assert {"Bool": {"aws:SecureTransport": "false"}} in denied
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in denied


def test_what_was_deleted_or_replaced_can_be_brought_back(buckets: Buckets) -> None:
    without = {
        name
        for name, bucket in buckets.items()
        if bucket.made.get("VersioningConfiguration") != {"Status": "Enabled"}
    }
    assert without <= ANSWERS_FOR_A_WEEK


def test_who_asks_a_bucket_is_logged(buckets: Buckets) -> None:
    without = {name for name, bucket in buckets.items() if "LoggingConfiguration" not in bucket.made}
    assert without - ANSWERS_FOR_A_WEEK == HOLD_LOGS_OF_ACCESS


def test_the_logs_of_access_are_let_in(buckets: Buckets, deployment: Deployment) -> None:
    there = buckets[ACCESS_LOGS]
    let_in = {
        (statement["Condition"]["ArnLike"]["aws:SourceArn"], statement["Resource"])
        for statement in there.statements
        if statement["Principal"] == {"Service": "logging.s3.amazonaws.com"}
        and (statement["Effect"], statement["Action"]) == ("Allow", "s3:PutObject")
        and statement["Condition"]["StringEquals"] == {"aws:SourceAccount": deployment.account}
    }
    logged = [bucket for bucket in buckets.values() if "LoggingConfiguration" in bucket.made]
    assert len(logged) == len(let_in)
    for bucket in logged:
        told = bucket.made["LoggingConfiguration"]
        assert told["DestinationBucketName"] == there.logical_id
        where = f"{there.logical_id}.Arn/{told['LogFilePrefix']}*"
        names = (f"{bucket.logical_id}.Arn", f"arn:aws:s3:::{bucket.made['BucketName']}")
        assert let_in & {(name, where) for name in names}
