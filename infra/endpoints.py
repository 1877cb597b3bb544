"""The AWS services that the processes call, who calls each and why: the one way out of the tasks' subnets.

Each service has an endpoint in the network, with a policy that lets through what is named here, for
principals of this account alone. So nothing can be handed to another account, whatever credentials somebody
brings in: a stolen prompt has nowhere to go. What a process may do is its role's to say; this is the wall
behind the roles.
"""

from dataclasses import dataclass
from typing import Final

from aws_cdk import aws_iam as iam

from infra.layers import PREFIX
from infra.models import application_profiles, bedrock_arns, bedrock_models, catalogue_of, endpoint_arns
from infra.roles import Process
from infra.settings import Deployment
from llmplatform.aws.parameters import PREFIX as PARAMETERS
from llmplatform.aws.tables import EVAL_STREAM
from llmplatform.judges import load_judge_models

Caller = Process | str
STARTING: Final = "starting a task"
"""What Fargate itself does over a task's interface: pull the image, read secrets, write the log."""

Conditions = dict[str, dict[str, str | list[str]]]


@dataclass(frozen=True, slots=True)
class Let:
    """What an endpoint lets through."""

    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """Operator, key and values, beside the account's own."""
    anybody: bool = False
    """Whether for principals of other accounts too: only what AWS itself asks for, of its own."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One service."""

    service: str
    """The end of its name: `com.amazonaws.{region}.{service}`."""
    callers: tuple[Caller, ...]
    why: str
    lets: tuple[Let, ...]
    gateway: bool = False
    """A route to the service's own addresses; else an interface in the subnets."""

    def statements(self, deployment: Deployment) -> list[iam.PolicyStatement]:
        """The endpoint's policy."""
        return [_statement(let, deployment) for let in self.lets]


def endpoints(deployment: Deployment) -> tuple[Endpoint, ...]:
    """Every service that a task may reach."""
    region, account = deployment.region, deployment.account
    catalogue = catalogue_of(deployment)

    def own(service: str, *names: str) -> tuple[str, ...]:
        return tuple(f"arn:aws:{service}:{region}:{account}:{name}" for name in names)

    return (
        Endpoint(
            "bedrock-runtime",
            ("gateway", "evalworker"),
            "models answer, and judge",
            _invoking(deployment, (*bedrock_models(catalogue), *_judges(deployment))),
        ),
        Endpoint(
            "bedrock",
            ("cost-job",),
            "which model an inference profile routes to",
            (Let(("bedrock:GetInferenceProfile",)),),
        ),
        Endpoint(
            "sagemaker.runtime",
            ("gateway",),
            "the tenants' own models answer",
            (
                Let(
                    ("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"),
                    tuple(endpoint_arns(catalogue, deployment)) or own("sagemaker", "endpoint/none"),
                ),
            ),
        ),
        Endpoint(
            "sagemaker.api",
            ("cost-job",),
            "how many instances an endpoint has",
            (Let(("sagemaker:Describe*",), own("sagemaker", "endpoint/*", "endpoint-config/*")),),
        ),
        Endpoint(
            "kinesis-streams",
            ("gateway", "evalworker"),
            "samples on their way to be judged",
            (
                Let(
                    ("kinesis:*",),
                    own("kinesis", f"stream/{EVAL_STREAM.name}", f"stream/{EVAL_STREAM.name}/*"),
                ),
            ),
        ),
        Endpoint(
            "dynamodb",
            ("gateway", "evalworker", "drift", "cost-job", "reconcile", "billing-api", "console"),
            "the ledger, results, costs, leases",
            (Let(("dynamodb:*",), own("dynamodb", "table/*")),),
            gateway=True,
        ),
        Endpoint(
            "s3",
            ("evalworker", "compact", "reconcile", "console", STARTING),
            "history, the export of the bill; and an image's layers, which are in a bucket of AWS's own",
            (
                Let(
                    ("s3:*",),
                    (f"arn:aws:s3:::{PREFIX}-*",),
                    (("StringEquals", "aws:ResourceAccount", (account,)),),
                ),
                Let(
                    ("s3:GetObject",), (f"arn:aws:s3:::prod-{region}-starport-layer-bucket/*",), anybody=True
                ),
            ),
            gateway=True,
        ),
        Endpoint(
            "ssm",
            ("gateway", "evalworker", "drift", "cost-job", "billing-api", "console", "alarms"),
            "tenants, their keys, brakes",
            (Let(("ssm:*",), own("ssm", f"parameter{PARAMETERS}/*", f"parameter{PARAMETERS}")),),
        ),
        Endpoint(
            "kms",
            ("gateway", "evalworker", "console"),
            "content under tenants' own keys; keys of the stores are used by the stores",
            (Let(("kms:*",), own("kms", "key/*", "alias/*")),),
        ),
        Endpoint(
            "logs",
            ("gateway", "console", STARTING),
            "every process's log; content of those who opted in; reading both",
            (
                Let(("logs:*",), own("logs", "*")),
                Let(("logs:GetQueryResults", "logs:StopQuery")),  # of one's own query, which has no ARN
            ),
        ),
        Endpoint(
            "monitoring",
            ("cost-job", "console", "alarms"),
            "metrics are read, alarms are kept",
            (Let(("cloudwatch:*",)),),
        ),
        Endpoint(
            "xray",
            ("gateway", "console"),
            "spans by OTLP, and traces to look at",
            (Let(("xray:*",)),),
        ),
        Endpoint(
            "sts",
            ("evalworker", "compact", "reconcile", "console", "alarms"),
            "which account this is: the names of buckets have it in them",
            (Let(("sts:GetCallerIdentity",)),),
        ),
        Endpoint(
            "tagging",
            ("alarms",),
            "which alarms are ours",
            (Let(("tag:GetResources",)),),
        ),
        Endpoint(
            "sns",
            ("console",),
            "who hears of alarms",
            (Let(("sns:ListSubscriptionsByTopic",), own("sns", f"{PREFIX}-*")),),
        ),
        Endpoint(
            "ecr.api",
            (STARTING,),
            "which layers an image has",
            (
                Let(("ecr:GetAuthorizationToken",)),
                Let(_PULLING, own("ecr", f"repository/{PREFIX}*")),
            ),
        ),
        Endpoint(
            "ecr.dkr",
            (STARTING,),
            "the image",
            (
                Let(("ecr:GetAuthorizationToken",)),
                Let(_PULLING, own("ecr", f"repository/{PREFIX}*")),
            ),
        ),
        Endpoint(
            "secretsmanager",
            (STARTING,),
            "secrets that a process is started with",
            (Let(("secretsmanager:GetSecretValue",), own("secretsmanager", "secret:*")),),
        ),
    )


_PULLING: Final = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


def _judges(deployment: Deployment) -> tuple[str, ...]:
    judges = load_judge_models(deployment.files.judges)
    return tuple(judge.model_id for judge in judges.judges.values())


def _invoking(deployment: Deployment, models: tuple[str, ...]) -> tuple[Let, ...]:
    actions = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
    named = Let(actions, tuple(bedrock_arns(models, deployment)))
    profiles = application_profiles(models)
    if not profiles:
        return (named,)
    behind = Let(
        actions,
        ("arn:aws:bedrock:*::foundation-model/*",),
        (("StringEquals", "bedrock:InferenceProfileArn", tuple(profiles)),),
    )
    return (named, behind)


def _statement(let: Let, deployment: Deployment) -> iam.PolicyStatement:
    conditions: Conditions = (
        {} if let.anybody else {"StringEquals": {"aws:PrincipalAccount": deployment.account}}
    )
    for operator, key, values in let.conditions:
        conditions.setdefault(operator, {})[key] = list(values)
    return iam.PolicyStatement(
        principals=[iam.AnyPrincipal()],
        actions=list(let.actions),
        resources=list(let.resources),
        conditions=conditions,
    )
