"""The export of AWS's bill that reconciliation reads: CUR 2.0 by AWS Data Exports, and its bucket.

Data Exports is in one region of all, us-east-1; the bucket is in the deployment's, where tasks can read it. A
deployment in another region makes the export by hand, once: docs/reconciliation.md says how.
"""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_bcmdataexports as exports
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.removal import removal_policy
from infra.settings import Deployment
from infra.stacks.data import ACCESS_LOGS, DataStack
from llmplatform.bill_export import COLUMNS, EXPORT_NAME, EXPORT_PREFIX, OPTIONS, TABLE, bucket_name

REGION: Final = "us-east-1"
KEPT_DAYS: Final = 3 * 365
"""As long as costs are: a bill may be asked about."""
_WRITERS: Final = ("bcm-data-exports.amazonaws.com", "billingreports.amazonaws.com")


class BillExport(Construct):
    """The bucket, and where it can be ordered from here, the export."""

    def __init__(self, scope: Construct, deployment: Deployment, data: DataStack) -> None:
        super().__init__(scope, "bill-export")
        bucket = self._bucket(deployment, data)
        if deployment.region != REGION:
            return
        query = f"SELECT {', '.join(COLUMNS)} FROM {TABLE}"  # noqa: S608 -- names of ours, for Data Exports
        export = exports.CfnExport(
            self,
            "export",
            export=exports.CfnExport.ExportProperty(
                name=EXPORT_NAME,
                description="What reconciliation holds attributed costs against",
                data_query=exports.CfnExport.DataQueryProperty(
                    query_statement=query, table_configurations={TABLE: dict(OPTIONS)}
                ),
                refresh_cadence=exports.CfnExport.RefreshCadenceProperty(frequency="SYNCHRONOUS"),
                destination_configurations=exports.CfnExport.DestinationConfigurationsProperty(
                    s3_destination=exports.CfnExport.S3DestinationProperty(
                        s3_bucket=bucket.bucket_name,
                        s3_prefix=EXPORT_PREFIX,
                        s3_region=deployment.region,
                        s3_output_configurations=exports.CfnExport.S3OutputConfigurationsProperty(
                            compression="PARQUET",
                            format="PARQUET",
                            output_type="CUSTOM",
                            overwrite="OVERWRITE_REPORT",
                        ),
                    )
                ),
            ),
        )
        export.node.add_dependency(bucket.policy)

    def _bucket(self, deployment: Deployment, data: DataStack) -> s3.Bucket:
        name = bucket_name(deployment.account, deployment.region)
        logs, prefix = data.buckets[ACCESS_LOGS], f"s3/{name}/"
        logs.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[logs.arn_for_objects(f"{prefix}*")],
                conditions={
                    "StringEquals": {"aws:SourceAccount": deployment.account},
                    "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{name}"},
                },
            )
        )
        bucket = s3.Bucket(
            self,
            "bucket",
            bucket_name=name,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            # By name, or the library would let it in by its ARN, and each stack would wait for the other.
            server_access_logs_bucket=s3.Bucket.from_bucket_name(self, "access-logs", logs.bucket_name),
            server_access_logs_prefix=prefix,
            removal_policy=removal_policy(deployment),
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=Duration.days(KEPT_DAYS),
                    noncurrent_version_expiration=Duration.days(7),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
        )
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="DataExports",
                principals=[iam.ServicePrincipal(writer) for writer in _WRITERS],
                actions=["s3:PutObject", "s3:GetBucketPolicy"],
                resources=[bucket.bucket_arn, f"{bucket.bucket_arn}/*"],
                conditions={
                    "StringEquals": {"aws:SourceAccount": deployment.account},
                    "ArnLike": {
                        "aws:SourceArn": [
                            f"arn:aws:cur:{REGION}:{deployment.account}:definition/*",
                            f"arn:aws:bcm-data-exports:{REGION}:{deployment.account}:export/*",
                        ]
                    },
                },
            )
        )
        return bucket
