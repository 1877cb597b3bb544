"""Reads what there is to watch: tenants' policies, and from CloudWatch which scores and judges are published.

Keys stay encrypted: only the gateway and the billing API may read them. ListMetrics knows what had data in
the last two weeks: a tenant that is quiet over a holiday keeps the alarms on its scores. Judges are those of
the last three hours, for they report every minute, and one that was replaced is not to be called old.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llmplatform.catalogue import Catalogue
from llmplatform.clock import Clock
from llmplatform.metrics import JUDGE_UNCALIBRATED, PIPELINE
from llmplatform.tenants import Tenants
from watch.alarming.published import NAMESPACES, Listed, counted, judges_in, scores_in
from watch.aws.pacer import Pacer
from watch.aws.pages import pages
from watch.tables.targets import World

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch import CloudWatchClient
    from types_aiobotocore_ssm import SSMClient

_RECENT: Final = "PT3H"


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to watch, what is not known of it, and how many series it publishes."""

    world: World
    broken: Mapping[str, str]
    """Tenants whose documents do not parse, with what is wrong: nobody knows what they should have."""
    series: Mapping[str, int]
    """By namespace."""


class WorldReader:
    """Reads through open clients."""

    def __init__(self, ssm: "SSMClient", cloudwatch: "CloudWatchClient", clock: Clock, pacer: Pacer) -> None:
        self._tenants = Tenants(ssm, clock)
        self._cloudwatch = cloudwatch
        self._pacer = pacer

    async def read(self, catalogue: Catalogue) -> Seen:
        """Everything. Raises what the SDK raises: half a world would take alarms away."""
        stored = await self._tenants.list(keys=False)
        policies = tuple(tenant.policy for tenant in stored if tenant.policy is not None)
        broken: dict[str, str] = {}
        for tenant in stored:
            if tenant.problem is not None:
                broken[tenant.tenant_id] = tenant.problem
        listed = [one for namespace in NAMESPACES async for one in self._listed({"Namespace": namespace})]
        reporting = {
            "Namespace": PIPELINE,
            "MetricName": JUDGE_UNCALIBRATED.name,
            "RecentlyActive": _RECENT,
        }
        judges = judges_in([one async for one in self._listed(reporting)])
        scores = scores_in(listed, {policy.tenant_id for policy in policies})
        return Seen(World(catalogue, policies, scores, judges), broken, counted(listed))

    async def _listed(self, request: dict[str, Any]) -> AsyncIterator[Listed]:
        for _ in pages("ListMetrics"):
            page = await self._pacer.call("ListMetrics", lambda: self._cloudwatch.list_metrics(**request))
            for metric in page["Metrics"]:
                dimensions = {one["Name"]: one["Value"] for one in metric.get("Dimensions", ())}
                yield Listed(metric.get("Namespace", ""), metric.get("MetricName", ""), dimensions)
            token = page.get("NextToken")
            if not token:
                return
            request["NextToken"] = token
