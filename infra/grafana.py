"""Amazon Managed Grafana: a workspace for people, and what it may read: metrics, traces, log lines, scores.

Through Athena it reads the history of evaluations without what was said, for the table has no such column,
and there is no other; the files themselves, which hold it, open to Athena alone. It reads no content log, no
ledger and no parameter. Dashboards are put into it by `llm-platform watch dashboards apply`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_grafana as grafana
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.layers import PREFIX
from infra.reasons import explain
from infra.settings import Deployment
from infra.stacks.data import DataStack
from llmplatform.aws.tables import CONTENT_LOGS, EVAL_HISTORY, LOG_GROUPS
from watch.grafana.athena import DATABASE, TABLE, table_input
from watch.grafana.athena import PREFIX as HISTORY

GRAFANA_VERSION: Final = "12.4"
"""The newest that dashboards of schema 11.6 were made for and that takes them as they are."""
MOST_SCANNED_BYTES: Final = 10 * 2**30
"""Of one query: $0.05 at $5 a TB. A day of one tenant is some MB."""
RESULTS_KEPT_DAYS: Final = 7
_DATA_SOURCES: Final = ("CLOUDWATCH", "XRAY", "ATHENA")
_EVERYWHERE: Final = (
    "cloudwatch:DescribeAlarmHistory",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:DescribeAlarmsForMetric",
    "cloudwatch:GetMetricData",
    "cloudwatch:ListMetrics",
    "ec2:DescribeRegions",
    "logs:DescribeLogGroups",
    "logs:GetQueryResults",
    "logs:StopQuery",
    "tag:GetResources",
    "xray:BatchGetTraces",
    "xray:GetGroups",
    "xray:GetServiceGraph",
    "xray:GetTraceGraph",
    "xray:GetTraceSummaries",
)
_ATHENA: Final = (
    "athena:GetDataCatalog",
    "athena:GetDatabase",
    "athena:GetQueryExecution",
    "athena:GetQueryResults",
    "athena:GetTableMetadata",
    "athena:GetWorkGroup",
    "athena:ListDatabases",
    "athena:ListTableMetadata",
    "athena:StartQueryExecution",
    "athena:StopQueryExecution",
)
_BY_ATHENA: Final = {"ForAnyValue:StringEquals": {"aws:CalledVia": "athena.amazonaws.com"}}
"""Athena reads S3 as whoever asked, and says so (Athena user guide, "Use CalledVia context keys").

The keys have no such condition: S3 asks for them in its own name, and whether the chain before it is told to
KMS is not documented. What S3 does not hand out, it does not have opened either.
"""


class Grafana(Construct):
    """The workspace, its role, and the table and workgroup that it asks Athena by."""

    def __init__(self, scope: Construct, name: str, deployment: Deployment, data: DataStack) -> None:
        super().__init__(scope, name)
        self._deployment = deployment
        self._data = data
        # By name: an ARN that CloudFormation finds out cannot be named in a reason.
        self._history_arn = f"arn:aws:s3:::{EVAL_HISTORY.name(deployment.account, deployment.region)}"
        self._results = self._bucket_of_results()
        self._table()
        self.workgroup = self._workgroup()
        self.role = self._role()
        self.workspace = grafana.CfnWorkspace(
            self,
            "workspace",
            name=PREFIX,
            description="Dashboards of the LLM platform",
            account_access_type="CURRENT_ACCOUNT",
            authentication_providers=["AWS_SSO"],
            permission_type="CUSTOMER_MANAGED",
            role_arn=self.role.role_arn,
            data_sources=list(_DATA_SOURCES),
            grafana_version=GRAFANA_VERSION,
            plugin_admin_enabled=True,
        )
        self.url = f"https://{self.workspace.attr_endpoint}"

    @property
    def _results_name(self) -> str:
        return f"{PREFIX}-athena-{self._deployment.account}-{self._deployment.region}"

    def _bucket_of_results(self) -> s3.Bucket:
        made = s3.Bucket(
            self,
            "results",
            bucket_name=self._results_name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._data.keys["scores"],
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=False,  # Athena gives each answer a name of its own, and replaces none
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(RESULTS_KEPT_DAYS))],
            removal_policy=RemovalPolicy.DESTROY,
        )
        explain(
            made,
            {"AwsSolutions-S1": "answers to dashboards, gone after a week; CloudTrail tells who asked"},
        )
        return made

    def _table(self) -> None:
        database = glue.CfnDatabase(
            self,
            "database",
            catalog_id=self._deployment.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(name=DATABASE),
        )
        told = table_input(EVAL_HISTORY.name(self._deployment.account, self._deployment.region))
        table = glue.CfnTable(
            self, "table", catalog_id=self._deployment.account, database_name=DATABASE, table_input={}
        )
        table.add_property_override("TableInput", told)
        table.add_resource_dependency(database)

    def _workgroup(self) -> athena.CfnWorkGroup:
        return athena.CfnWorkGroup(
            self,
            "workgroup",
            name=PREFIX,
            recursive_delete_option=self._deployment.deletable,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=MOST_SCANNED_BYTES,
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{self._results_name}/",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=self._data.keys["scores"].key_arn
                    ),
                ),
            ),
        )

    def _role(self) -> iam.Role:
        account, region = self._deployment.account, self._deployment.region
        role = iam.Role(
            self,
            "role",
            role_name=f"{PREFIX}-grafana",
            assumed_by=iam.ServicePrincipal(
                "grafana.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": account},
                    "StringLike": {"aws:SourceArn": f"arn:aws:grafana:{region}:{account}:/workspaces/*"},
                },
            ),
        )
        may = list(self._may(account, region))
        for statement in may:
            role.add_to_policy(statement)
        named = [arn for statement in may for arn in statement.resources if arn.endswith("*") and arn != "*"]
        explain(
            role,
            {"AwsSolutions-IAM5[Resource::*]": "metrics, alarms, traces and answers have no resource"}
            | {
                f"AwsSolutions-IAM5[Resource::{arn}]": "all in a group or a bucket that is named"
                for arn in named
            },
        )
        return role

    def _may(self, account: str, region: str) -> Iterator[iam.PolicyStatement]:
        """What the role may do, each by what it is for."""
        catalog = f"arn:aws:glue:{region}:{account}"
        asked = f"arn:aws:athena:{region}:{account}"
        yield _allow("Everywhere", _EVERYWHERE, ["*"])
        yield _allow(
            "LogLines",
            ("logs:StartQuery", "logs:GetLogGroupFields"),
            [
                f"arn:aws:logs:{region}:{account}:log-group:{group.name}:*"
                for group in LOG_GROUPS
                if group is not CONTENT_LOGS
            ],
        )
        yield _allow(
            "Athena", _ATHENA, [f"{asked}:workgroup/{PREFIX}", f"{asked}:datacatalog/AwsDataCatalog"]
        )
        yield _allow(
            "Table",
            ("glue:GetDatabase", "glue:GetTable", "glue:GetPartitions"),
            [f"{catalog}:catalog", f"{catalog}:database/{DATABASE}", f"{catalog}:table/{DATABASE}/{TABLE}"],
        )
        yield _allow("History", ("s3:GetObject",), [f"{self._history_arn}/{HISTORY}*"], where=_BY_ATHENA)
        yield _allow(
            "Buckets",
            ("s3:ListBucket", "s3:GetBucketLocation"),
            [self._history_arn, f"arn:aws:s3:::{self._results_name}"],
        )
        yield _allow("Results", ("s3:GetObject", "s3:PutObject"), [f"arn:aws:s3:::{self._results_name}/*"])
        yield _allow(
            "Keys",
            ("kms:Decrypt", "kms:GenerateDataKey"),
            [self._data.keys[name].key_arn for name in sorted({EVAL_HISTORY.key.data_class, "scores"})],
            where={"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}},
        )


def _allow(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    *,
    where: Mapping[str, Mapping[str, str]] | None = None,
) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources), conditions=where)
