"""The account that the platform is deployed to, and what everything in it is called: its ARNs."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.settings import Deployment
from llmplatform.aws.parameters import PREFIX
from llmplatform.aws.tables import Bucket, DataClass, GlobalIndex, LogGroup, Stream, Table, Topic


@dataclass(frozen=True, slots=True)
class Account:
    """Where the deployment is, and the ARNs of its data's keys, which only KMS can name."""

    deployment: Deployment
    keys: Mapping[DataClass, str]

    @property
    def region(self) -> str:
        """Where everything is."""
        return self.deployment.region

    @property
    def number(self) -> str:
        """Twelve digits."""
        return self.deployment.account

    def arn(self, service: str, resource: str) -> str:
        """Of a resource in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.number}:{resource}"

    def table(self, table: Table) -> str:
        """Of a table."""
        return self.table_named(table.name)

    def table_named(self, name: str) -> str:
        """Of a table that is none of `llmplatform.aws.tables`."""
        return self.arn("dynamodb", f"table/{name}")

    def index(self, table: Table, index: GlobalIndex) -> str:
        """Of one of a table's indexes."""
        return f"{self.table(table)}/index/{index.name}"

    def stream(self, stream: Stream) -> str:
        """Of a data stream."""
        return self.arn("kinesis", f"stream/{stream.name}")

    def parameter(self, path: str = "") -> str:
        """Of a parameter, or a path, below the platform's prefix."""
        return self.arn("ssm", f"parameter{PREFIX}{'/' if path else ''}{path}")

    def bucket(self, bucket: Bucket) -> str:
        """Of a bucket."""
        return f"arn:aws:s3:::{bucket.name(self.number, self.region)}"

    def objects(self, bucket: Bucket, prefix: str) -> str:
        """Of all objects of a bucket whose keys begin so."""
        return f"{self.bucket(bucket)}/{prefix}*"

    def log_group(self, group: LogGroup) -> str:
        """Of a log group."""
        return self.arn("logs", f"log-group:{group.name}")

    def topic(self, topic: Topic) -> str:
        """Of a topic."""
        return self.arn("sns", topic.name)

    def via(self, service: str) -> str:
        """What `kms:ViaService` says when this service asks KMS for somebody."""
        return f"{service}.{self.region}.amazonaws.com"
