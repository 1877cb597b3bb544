"""What a recorded call asks of IAM: actions, resources and condition keys, those of KMS among them.

By the services' own pages of the Service Authorization Reference, and by how each uses KMS for its caller:
DynamoDB opens a table's key, Kinesis seals what is put and opens what is read, and so do S3 and SSM.
Which key a table, a stream or a bucket is under is read from the deployment's templates.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from harness.aws_calls import Call
from infra.permissions.account import Account
from infra.policy import Asked
from infra.resolved import Resolved, key_arn
from llmplatform.aws.parameters import API_KEYS
from llmplatform.aws.tables import EVAL_CONSUMER, EVAL_STREAM, TABLES
from llmplatform.aws.tenant_key import TENANT_ALIASES, TENANT_TAG
from llmplatform.bedrock_ids import routing_of

_KEY_CONDITION: Final = re.compile(r"^\s*(?P<name>[#\w]+)\s*=\s*(?P<value>:\w+)")
_NAMES: Final = re.compile(r"#?[A-Za-z_]\w*")
_PARTITION_KEYS: Final = {table.name: table.partition_key.name for table in TABLES} | {
    EVAL_CONSUMER: "leaseKey"
}
_TENANT_OF_OBJECT: Final = re.compile(r"/tenant=([a-z0-9-]+)/")


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A tenant's own key, as KMS knows it."""

    tenant: str
    arn: str


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """The account's, behind a client of boto3's."""

    kms: Any

    def named(self, key_id: str) -> TenantKey | None:
        """What an ARN, an id or an alias stands for; None for no key, or one that bears no tenant's tag."""
        try:
            arn: str = self.kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
        except self.kms.exceptions.NotFoundException:
            return None
        tags = {tag["TagKey"]: tag["TagValue"] for tag in self.kms.list_resource_tags(KeyId=arn)["Tags"]}
        return TenantKey(tags[TENANT_TAG], arn) if TENANT_TAG in tags else None


@dataclass
class Asking:
    """Reads calls of one account: `asking.of(call)`."""

    account: Account
    resolved: Resolved
    keys: TenantKeys
    behind_profiles: Mapping[str, str] = field(default_factory=dict)
    """The model behind an application's own inference profile."""

    def of(self, call: Call) -> tuple[Asked, ...]:
        """All that must be allowed for this call to be. Raises LookupError for a call of another service."""
        return tuple(_READERS[call.service](self, call.operation, call.asked))

    # -- DynamoDB

    def dynamodb(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """A table or index each, and the key that the table is under."""
        for table, index, request in _by_table(asked):
            arn = self.account.table_named(table)
            yield Asked(
                f"dynamodb:{operation}",
                f"{arn}/index/{index}" if index else arn,
                _row_context(table, operation, request),
            )
            key = self._key_of("AWS::DynamoDB::Table", "TableName", table)
            if key is not None:
                yield self._through("dynamodb", "kms:Decrypt", key, {"aws:dynamodb:tableName": table})

    # -- Kinesis

    def kinesis(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """The stream, or the consumer that is named."""
        stream = self.account.stream(EVAL_STREAM)
        resource = asked.get("ConsumerARN") or stream
        if operation == "DescribeStreamConsumer" and "ConsumerName" in asked:
            resource = f"{stream}/consumer/{asked['ConsumerName']}:1767225600"
        yield Asked(f"kinesis:{operation}", resource)
        uses = {"PutRecords": "GenerateDataKey", "GetRecords": "Decrypt", "SubscribeToShard": "Decrypt"}
        if operation in uses:
            key = self._key_of("AWS::Kinesis::Stream", "Name", EVAL_STREAM.name)
            assert key is not None
            yield self._through("kinesis", f"kms:{uses[operation]}", key, {"aws:kinesis:arn": stream})

    # -- S3

    def s3(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """The bucket with the prefix that is listed, or each object with the key that it is under."""
        bucket = f"arn:aws:s3:::{asked['Bucket']}"
        if operation.startswith("ListObject"):
            action = "s3:ListBucketVersions" if operation == "ListObjectVersions" else "s3:ListBucket"
            yield Asked(action, bucket, {"s3:prefix": asked.get("prefix", "")})
            return
        keys = asked["Keys"] if operation == "DeleteObjects" else [asked["Key"]]
        action = operation
        if operation == "DeleteObjects":
            action = "DeleteObjectVersion" if asked["Versions"] else "DeleteObject"
        for key in keys:
            yield Asked(f"s3:{action}", f"{bucket}/{key}")
        uses = {"PutObject": "GenerateDataKey", "GetObject": "Decrypt"}
        own = self._tenants_of_object(asked)
        under = own.arn if own else self._key_of("AWS::S3::Bucket", "BucketName", asked["Bucket"])
        if operation not in uses or under is None:
            return
        asked_of_kms = self._through("s3", f"kms:{uses[operation]}", under, {"aws:s3:arn": bucket})
        yield Asked(asked_of_kms.action, asked_of_kms.resource, {**asked_of_kms.context, **_tag(own)})

    def _tenants_of_object(self, asked: Mapping[str, Any]) -> TenantKey | None:
        """The tenant's own key that an object is put under, or lies under if its tenant has one."""
        named = asked.get("SSEKMSKeyId")
        if named is not None:
            return self.keys.named(named)
        tenant = _TENANT_OF_OBJECT.search(asked["Key"])
        return None if tenant is None else self.keys.named(f"{TENANT_ALIASES}{tenant[1]}")

    # -- KMS by itself

    def kms(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """The key that is named, its tag, and the encryption context; a new key has no more than its tags."""
        if operation == "CreateKey":
            tags = {tag["TagKey"]: tag["TagValue"] for tag in asked["Tags"]}
            context = {f"aws:RequestTag/{name}": value for name, value in tags.items()}
            for action in ("kms:CreateKey", "kms:TagResource"):
                yield Asked(action, "*", {**context, "aws:TagKeys": tuple(tags)})
            return
        named = self.keys.named(asked.get("TargetKeyId") or asked["KeyId"])
        if named is None and operation == "DescribeKey":
            return  # an alias that stands for nothing is answered before anybody is asked
        if "AliasName" in asked:
            yield Asked(f"kms:{operation}", self.account.arn("kms", asked["AliasName"]))
        given: Mapping[str, str] = asked.get("EncryptionContext", {})
        sealed: dict[str, str | tuple[str, ...]] = {
            f"kms:EncryptionContext:{name}": value for name, value in given.items()
        }
        if given:
            sealed["kms:EncryptionContextKeys"] = tuple(given)
        yield Asked(f"kms:{operation}", named.arn if named else asked["KeyId"], {**_tag(named), **sealed})

    # -- Parameter Store

    def ssm(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """Each parameter or the path, and the key of those that are decrypted or encrypted."""
        names = asked.get("Names") or [asked.get("Name") or asked["Path"]]
        for name in names:
            yield Asked(f"ssm:{operation}", self._parameter(name))
        if asked.get("WithDecryption"):
            encrypted = [name for name in names if name.endswith((API_KEYS, "_platform/access"))]
            if operation == "GetParametersByPath":
                encrypted = [f"{names[0]}/acme/{API_KEYS}", f"{names[0]}/_platform/access"]
            yield from (self._access("kms:Decrypt", name) for name in encrypted)
        if asked.get("Type") == "SecureString":
            assert asked["KeyId"] == "alias/llm-platform/access"
            yield self._access("kms:Encrypt", names[0])

    def _parameter(self, name: str) -> str:
        return self.account.arn("ssm", f"parameter{name}")

    def _access(self, action: str, name: str) -> Asked:
        return self._through("ssm", action, key_arn("access"), {"PARAMETER_ARN": self._parameter(name)})

    # -- models

    def bedrock(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """A model, or a profile and the model behind it, in a region that the profile routes to."""
        if operation == "GetInferenceProfile":
            yield Asked("bedrock:GetInferenceProfile", asked["profile"])
            return
        action = {"Converse": "InvokeModel", "ConverseStream": "InvokeModelWithResponseStream"}[operation]
        model = asked["model"]
        scope, base = routing_of(model)
        if model in self.behind_profiles:
            profile, behind = model, self.behind_profiles[model]
        elif scope == "in-region":
            yield Asked(
                f"bedrock:{action}", f"arn:aws:bedrock:{self.account.region}::foundation-model/{base}"
            )
            return
        else:
            profile = self.account.arn("bedrock", f"inference-profile/{model}")
            region = "" if scope == "global" else "us-west-2"
            behind = f"arn:aws:bedrock:{region}::foundation-model/{base}"
        yield Asked(f"bedrock:{action}", profile)
        yield Asked(f"bedrock:{action}", behind, {"bedrock:InferenceProfileArn": profile})

    def sagemaker(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """An endpoint, whose ARN SageMaker writes in lower case."""
        name = asked.get("endpoint") or asked["EndpointName"]
        yield Asked(f"sagemaker:{operation}", self.account.arn("sagemaker", f"endpoint/{name.lower()}"))

    # -- watching

    def cloudwatch(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """An alarm each; all of them where CloudWatch wants that; no resource for metrics."""
        named = [value for name, value in asked.items() if re.fullmatch(r"AlarmNames\.member\.\d+", name)]
        if "AlarmName" in asked:
            named.append(asked["AlarmName"])
        if "Tags.member.1.Key" in asked:  # of an alarm that is put with its tags
            yield Asked("cloudwatch:TagResource", self.account.arn("cloudwatch", f"alarm:{named[-1]}"))
        if operation in {"DescribeAlarms", "DescribeAlarmHistory", "PutCompositeAlarm"}:
            named = ["*"]
        if "ResourceARN" in asked:
            yield Asked(f"cloudwatch:{operation}", asked["ResourceARN"])
        elif named:
            for name in named:
                yield Asked(f"cloudwatch:{operation}", self.account.arn("cloudwatch", f"alarm:{name}"))
        else:
            yield Asked(f"cloudwatch:{operation}", "*")

    def logs(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """A group and its stream; no resource for what is asked of a running query."""
        if "logGroupName" not in asked:
            yield Asked(f"logs:{operation}", "*")
            return
        group = self.account.arn("logs", f"log-group:{asked['logGroupName']}")
        stream = asked.get("logStreamName")
        yield Asked(f"logs:{operation}", f"{group}:log-stream:{stream}" if stream else f"{group}:")

    def sns(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """A topic."""
        yield Asked(f"sns:{operation}", asked["TopicArn"])

    def budgets(self, operation: str, asked: Mapping[str, Any]) -> Iterator[Asked]:
        """A budget; IAM calls the reading of one ViewBudget."""
        assert operation == "DescribeBudget"
        yield Asked(
            "budgets:ViewBudget", f"arn:aws:budgets::{asked['AccountId']}:budget/{asked['BudgetName']}"
        )

    def without_resource(self, service: str, operation: str) -> Iterator[Asked]:
        """What names no resource."""
        yield Asked(f"{service}:{operation}", "*")

    def nothing(self, operation: str, _asked: Mapping[str, Any]) -> Iterable[Asked]:
        """STS tells everybody who they are, whatever their policies say."""
        assert operation == "GetCallerIdentity"
        return ()

    # --

    def _through(self, service: str, action: str, key: str, context: Mapping[str, str]) -> Asked:
        named = {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
        return Asked(action, key, {"kms:ViaService": self.account.via(service), **named})

    def _key_of(self, kind: str, naming: str, name: str) -> str | None:
        """The key that a resource of the templates is encrypted under; None for one that is not in them."""
        for _, properties in self.resolved.resources(kind):
            if properties.get(naming) == name:
                found = _first_key(properties)
                assert found is not None, f"{name} is under no key of its class"
                return found
        return None


def _tag(key: TenantKey | None) -> dict[str, str]:
    return {} if key is None else {f"aws:ResourceTag/{TENANT_TAG}": key.tenant}


def _first_key(value: Any) -> str | None:
    """The one key's ARN that is somewhere in a resource's properties."""
    if isinstance(value, str):
        return value if value.startswith("arn:aws:kms:") else None
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return next((found for one in inner if (found := _first_key(one))), None)


def _by_table(asked: Mapping[str, Any]) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
    """Table, index and request, for each table of a call."""
    if "RequestItems" not in asked:
        yield asked["TableName"], asked.get("IndexName"), asked
        return
    for table, request in asked["RequestItems"].items():
        if isinstance(request, Mapping):  # BatchGetItem
            yield table, None, request
        else:
            rows = [row for write in request for row in write.values()]
            yield table, None, {"Keys": [row.get("Item") or row["Key"] for row in rows]}


def _row_context(table: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Whose rows, and which of their attributes."""
    names: Mapping[str, str] = request.get("ExpressionAttributeNames", {})
    context: dict[str, Any] = {}
    partition = _PARTITION_KEYS.get(table)
    rows = [*request.get("Keys", ()), *(request[name] for name in ("Key", "Item") if name in request)]
    owners = {next(iter(row[partition].values())) for row in rows if partition in row}
    found = _KEY_CONDITION.match(request.get("KeyConditionExpression", ""))
    if found is not None:
        owners.add(next(iter(request["ExpressionAttributeValues"][found["value"]].values())))
    if owners:
        context["dynamodb:LeadingKeys"] = tuple(sorted(owners))
    if operation == "Query":
        said = f"{request['KeyConditionExpression']} {request.get('ProjectionExpression', '')}"
        words = re.sub(r":\w+|\b(AND|BETWEEN|begins_with)\b", " ", said)
        context["dynamodb:Attributes"] = tuple({names.get(one, one) for one in _NAMES.findall(words)})
    if "Select" in request:
        context["dynamodb:Select"] = request["Select"]
    return context


_Reader = Callable[[Asking, str, Mapping[str, Any]], Iterable[Asked]]
_READERS: Final[Mapping[str, _Reader]] = {
    "bedrock": Asking.bedrock,
    "budgets": Asking.budgets,
    "cloudwatch": Asking.cloudwatch,
    "dynamodb": Asking.dynamodb,
    "kinesis": Asking.kinesis,
    "kms": Asking.kms,
    "logs": Asking.logs,
    "s3": Asking.s3,
    "sagemaker": Asking.sagemaker,
    "sns": Asking.sns,
    "ssm": Asking.ssm,
    "sts": Asking.nothing,
    "tag": lambda asking, operation, _: asking.without_resource("tag", operation),
    "xray": lambda asking, operation, _: asking.without_resource("xray", operation),
}
