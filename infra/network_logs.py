"""The bucket for the logs of network and load balancer: who spoke with whom, and when, and not what."""

from collections.abc import Iterator
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.archive import KEPT_DAYS
from infra.layers import PREFIX
from infra.reasons import explain
from infra.removal import removal_policy
from infra.settings import Deployment
from llmplatform.aws.tables import LOG_RETENTION_DAYS

FLOWS: Final = "flows"
"""What the VPC's flow logs begin with."""


def logs_bucket(scope: Construct, deployment: Deployment) -> s3.Bucket:
    """Kept as long as any log: 90 days at hand, then two years in Glacier Instant Retrieval."""
    bucket = s3.Bucket(
        scope,
        "logs",
        bucket_name=f"{PREFIX}-network-logs-{deployment.account}-{deployment.region}",
        encryption=s3.BucketEncryption.S3_MANAGED,  # the only one that load balancers write under
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        versioned=True,
        removal_policy=removal_policy(deployment),
        lifecycle_rules=[
            s3.LifecycleRule(
                transitions=[
                    s3.Transition(
                        storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                        transition_after=Duration.days(LOG_RETENTION_DAYS),
                    )
                ],
                expiration=Duration.days(KEPT_DAYS),
                noncurrent_version_expiration=Duration.days(30),
                abort_incomplete_multipart_upload_after=Duration.days(1),
            )
        ],
    )
    for statement in _flow_logs_are_delivered(bucket, deployment):
        bucket.add_to_resource_policy(statement)
    explain(bucket, {"AwsSolutions-S1": "what is in it are access logs; a log of those would log itself"})
    return bucket


def _flow_logs_are_delivered(bucket: s3.Bucket, deployment: Deployment) -> Iterator[iam.PolicyStatement]:
    by_us = {
        "StringEquals": {"aws:SourceAccount": deployment.account},
        "ArnLike": {"aws:SourceArn": f"arn:aws:logs:{deployment.region}:{deployment.account}:*"},
    }
    wanted = {
        "s3:PutObject": bucket.arn_for_objects(f"{FLOWS}/AWSLogs/{deployment.account}/*"),
        "s3:GetBucketAcl": bucket.bucket_arn,
    }
    for action, resource in wanted.items():
        yield iam.PolicyStatement(
            principals=[iam.ServicePrincipal("delivery.logs.amazonaws.com")],
            actions=[action],
            resources=[resource],
            conditions=by_us,
        )
