"""Evaluation: the worker that scales with its lag, and the schedules of drift and compaction."""

from typing import Final

from aws_cdk import App, Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis

from infra.function import FunctionProcess
from infra.layers import PlatformStack
from infra.process import FargateProcess
from infra.reasons import explain
from infra.scheduled import ScheduledJob, a_function, a_task
from infra.service import FargateService
from infra.settings import Deployment
from infra.stacks.data import DataStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack
from llmplatform.aws.schedules import COMPACTION, DRIFT
from llmplatform.aws.tables import EVAL_CONSUMER, EVAL_STREAM, EVALWORKER_LOGS
from llmplatform.metrics import EVAL_LAG_SECONDS, EVALWORKER, Metric
from watch.tables import native

LAG_S: Final = 60.0
"""What scaling aims at. Sampling is held down from 120 s on: there is to be another worker before that."""
STOP_TIMEOUT_S: Final = 60
"""The grace for batches in hand (20 s), the consumer's end (8 s), and delivering rows and metrics."""
_OUT_AGAIN_AFTER: Final = Duration.minutes(3)
"""A new worker needs about a minute for its first lease, and then works off what waits."""
_IN_AGAIN_AFTER: Final = Duration.minutes(15)


class EvaluationStack(PlatformStack):
    """Layer 2."""

    def __init__(
        self,
        app: App,
        deployment: Deployment,
        *,
        network: NetworkStack,
        data: DataStack,
        identity: IdentityStack,
    ) -> None:
        super().__init__(app, "evaluation", deployment, layer="evaluate")
        self._deployment, self._network = deployment, network
        self._data, self._identity = data, identity
        self._worker()
        self._drift()
        self._compaction()

    def _worker(self) -> None:
        tasks = self._deployment.evalworker
        process = FargateProcess(
            self,
            "evalworker",
            deployment=self._deployment,
            repository=self._data.repository,
            role=self._identity.roles["evalworker"],
            log_group=self._data.log_groups[EVALWORKER_LOGS.name],
            command=["python", "-m", "evalworker", "run"],
            environment={"EVAL_FAN_OUT": "true", "EVAL_APPLICATION_NAME": EVAL_CONSUMER},
            cpu=tasks.cpu,
            memory_mib=tasks.memory_mib,
            stop_timeout_s=STOP_TIMEOUT_S,
        )
        # It is here, and not left to the worker to register, so that it goes with the stack.
        consumer = kinesis.CfnStreamConsumer(
            self, "consumer", consumer_name=EVAL_CONSUMER, stream_arn=self._data.stream.stream_arn
        )
        service = FargateService(self, "evalworker", process=process, network=self._network, tasks=tasks)
        service.service.node.add_dependency(consumer, self._leases())
        pushed = {"StreamName": EVAL_STREAM.name, "ConsumerName": EVAL_CONSUMER}
        _track(service, "iterator-age", native.STREAM_PUSHED_AGE, pushed, LAG_S * 1_000)
        _track(service, "lag", EVAL_LAG_SECONDS, {"component": EVALWORKER}, LAG_S)

    def _leases(self) -> dynamodb.Table:
        """Who reads which shard, and how far: as kcl-rs would make it, which the worker's role may not."""
        leases = dynamodb.Table(
            self,
            "leases",
            table_name=EVAL_CONSUMER,
            partition_key=dynamodb.Attribute(name="leaseKey", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            removal_policy=RemovalPolicy.DESTROY,
        )
        lost = "without positions the stream's week is read again, and what has a result is not judged again"
        explain(leases, {"AwsSolutions-DDB3": lost})
        return leases

    def _drift(self) -> None:
        function = FunctionProcess(
            self,
            "drift",
            deployment=self._deployment,
            repository=self._data.repository,
            role=self._identity.roles["drift"],
            log_group=self._data.log_groups[EVALWORKER_LOGS.name],
            handler="evalworker.drift.lambda_handler.handler",
            environment={},
            memory_mib=1_024,
            timeout_s=300,
            attempts=0,
            dead_letters=self._data.dead_letters,
            network=self._network,
        )
        ScheduledJob(
            self,
            DRIFT,
            deployment=self._deployment,
            starts=a_function(function.function),
            dead_letters=self._data.dead_letters,
            told_by="drift-not-run",
        )

    def _compaction(self) -> None:
        process = FargateProcess(
            self,
            "compact",
            deployment=self._deployment,
            repository=self._data.repository,
            role=self._identity.roles["compact"],
            log_group=self._data.log_groups[EVALWORKER_LOGS.name],
            command=["python", "-m", "evalworker", "compact"],
            environment={},
            cpu=512,
            memory_mib=2_048,  # what is merged at once is 256 MiB, about three times in memory
        )
        ScheduledJob(
            self,
            COMPACTION,
            deployment=self._deployment,
            starts=a_task(self, process, self._network, "compact"),
            dead_letters=self._data.dead_letters,
            told_by="compaction-not-run",
        )


def _track(
    service: FargateService, name: str, metric: Metric, dimensions: dict[str, str], target: float
) -> None:
    """Another worker when the worst minute is over the target; fewer only when every such rule agrees."""
    service.scaling.scale_to_track_custom_metric(
        name,
        metric=cloudwatch.Metric(
            namespace=metric.namespace,
            metric_name=metric.name,
            dimensions_map=dimensions,
            statistic="Maximum",
            period=Duration.minutes(1),
        ),
        target_value=target,
        scale_out_cooldown=_OUT_AGAIN_AFTER,
        scale_in_cooldown=_IN_AGAIN_AFTER,
    )
