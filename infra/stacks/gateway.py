"""The single way in: the load balancer, and the gateway's service behind it.

How long something may be silent, how long an ending task is waited for and how long it then has fit together
in numbers that tests compare with the gateway's own.
"""

from typing import Final

from aws_cdk import App, CfnOutput, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elb

from infra import collector
from infra.layers import PREFIX, PlatformStack
from infra.load_balancer import LoadBalancer, serve
from infra.models import catalogue_of
from infra.process import MOST_STOP_TIMEOUT_S, FargateProcess, drawn_secret
from infra.service import FargateService
from infra.settings import Deployment
from infra.stacks.data import DataStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack
from llmplatform import metrics
from llmplatform.aws.tables import GATEWAY_LOGS
from llmplatform.catalogue import Catalogue
from llmplatform.errors import ConfigFault

PORT: Final = 8080
PRIORITY: Final = 10
"""Of the listener's rule."""
MOST_DEREGISTRATION_S: Final = 3_600
"""The load balancer's own limit."""
GRACE_S: Final = 90
FLUSH_S: Final = 15
"""With 5 s for last words and closing, below what Fargate allows. A task is told to stop only when the load
balancer has seen its last stream end: this is for those that outlast even that."""
STREAMS_A_TASK: Final = 120
"""On which the service scales: the benchmarks had 200 at once on one core, with others on it."""
CPU_PERCENT: Final = 60
"""Of the one core that the event loop has, whatever the task has beside it."""
_CORE: Final = 1_024


class GatewayStack(PlatformStack):
    """What serves inference."""

    def __init__(
        self,
        app: App,
        deployment: Deployment,
        *,
        network: NetworkStack,
        data: DataStack,
        identity: IdentityStack,
    ) -> None:
        super().__init__(app, "gateway", deployment, layer=None)
        self._deployment = deployment
        door = LoadBalancer(self, deployment, network)
        self.load_balancer = door.load_balancer
        self.listener = door.listener
        """On 443. Its rules go by host."""
        self.rollback_alarms = self._rollback_alarms()
        """What undoes a new version while it is rolled out."""
        process = self._process(data, identity)
        self.service = FargateService(
            self,
            "gateway",
            process=process,
            network=network,
            tasks=deployment.gateway,
            rollback_alarms=self.rollback_alarms,
            behind_load_balancer=True,
        )
        serve(
            self,
            "gateway",
            service=self.service,
            network=network,
            listener=self.listener,
            host=deployment.hosts.gateway,
            priority=PRIORITY,
            port=PORT,
            asked_at="/readyz",
            longest_s=longest_request_s(catalogue_of(deployment)),
        )
        self._scale()
        CfnOutput(
            self,
            "LoadBalancerDnsName",
            value=self.load_balancer.load_balancer_dns_name,
            description="Where the names of gateway and console are to point, as a CNAME or an alias",
        )

    def _process(self, data: DataStack, identity: IdentityStack) -> FargateProcess:
        deployment, tag = self._deployment, self._deployment.collector_tag
        sampling_key = drawn_secret(
            self,
            "trace-sample-key",
            "Decides which trace ids are kept: the same for all tasks, and nobody's to foresee",
            never_rotated="it opens nothing: with another one other traces are kept, that is all",
        )
        process = FargateProcess(
            self,
            "gateway",
            deployment=deployment,
            repository=data.repository,
            role=identity.roles["gateway"],
            log_group=data.log_groups[GATEWAY_LOGS.name],
            command=["python", "-m", "gateway"],
            environment={
                "GATEWAY_HOST": "0.0.0.0",
                "GATEWAY_PORT": str(PORT),
                "GATEWAY_SHUTDOWN_GRACE_S": str(GRACE_S),
                "GATEWAY_FLUSH_S": str(FLUSH_S),
                **({} if tag is None else {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.ENDPOINT}),
            },
            secrets={"GATEWAY_TRACE_SAMPLE_KEY": sampling_key},
            cpu=deployment.gateway.cpu,
            memory_mib=deployment.gateway.memory_mib,
            port=PORT,
            stop_timeout_s=MOST_STOP_TIMEOUT_S,
        )
        if tag is not None:
            collector.add_collector(process, deployment, data.collector_repository, tag)
        return process

    def _rollback_alarms(self) -> list[cloudwatch.Alarm]:
        minute = Duration.minutes(1)
        unanswered = self.load_balancer.metrics.http_code_elb(
            elb.HttpCodeElb.ELB_5XX_COUNT, period=minute, statistic="Sum"
        )
        return [
            self._alarm("unanswered", unanswered, over=10, datapoints=2, of=3),
            self._alarm(
                "failing", _of_gateway(metrics.REQUEST_FAILED, "Average"), over=0.1, datapoints=3, of=5
            ),
            self._alarm(
                "loses-ledger-rows",
                _metric(metrics.SINK_DROPPED, "Sum", sink="ledger"),
                over=0,
                datapoints=1,
                of=3,
            ),
        ]

    def _alarm(
        self, name: str, metric: cloudwatch.IMetric, *, over: float, datapoints: int, of: int
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            f"rollback-{name}",
            alarm_name=f"{PREFIX}/rollback/gateway-{name}",
            alarm_description="Rolls a new version of the gateway back while it is rolled out",
            metric=metric,
            threshold=over,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            datapoints_to_alarm=datapoints,
            evaluation_periods=of,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _scale(self) -> None:
        scaling, cpu = self.service.scaling, self._deployment.gateway.cpu
        scaling.scale_to_track_custom_metric(
            "streams",
            metric=_of_gateway(metrics.REQUESTS_IN_FLIGHT, "Average"),
            target_value=STREAMS_A_TASK,
            scale_in_cooldown=Duration.minutes(10),
            scale_out_cooldown=Duration.minutes(1),
        )
        scaling.scale_on_cpu_utilization(
            "cpu",
            target_utilization_percent=CPU_PERCENT * _CORE // max(cpu, _CORE),
            scale_in_cooldown=Duration.minutes(10),
            scale_out_cooldown=Duration.minutes(1),
        )


def longest_request_s(catalogue: Catalogue) -> int:
    """How long a request may take at the most: every try that fails without a word, then the longest answer.

    Raises ConfigFault where that is more than a load balancer waits for.
    """
    longest_s = 0.0
    for name, model in catalogue.models.items():
        plan = [model, *(catalogue.models[fallback] for fallback in model.fallbacks)]
        silent_s = sum(each.max_attempts * each.timeouts.first_token_s for each in plan)
        whole_s = silent_s + max(each.timeouts.total_s for each in plan)
        if whole_s > MOST_DEREGISTRATION_S:
            raise ConfigFault(
                f"models.{name}.timeouts: a request may take {whole_s:.0f} s with its fallbacks, and a load "
                f"balancer waits {MOST_DEREGISTRATION_S} s for the last one of a task: lower total_s"
            )
        longest_s = max(longest_s, whole_s)
    return round(longest_s)


def _of_gateway(metric: metrics.Metric, statistic: str) -> cloudwatch.Metric:
    return _metric(metric, statistic, component=metrics.GATEWAY)


def _metric(metric: metrics.Metric, statistic: str, **dimensions: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=metric.namespace,
        metric_name=metric.name,
        dimensions_map=dimensions,
        statistic=statistic,
        period=Duration.minutes(1),
    )
