"""What serves inference, whether anybody watches or not: gateway, network, doors. Pure."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from llmplatform.fixed_costs import ENDPOINT_HOURS, LOAD_BALANCER_HOURS, WEB_ACL_RULES, WEB_ACLS
from llmplatform.footprint import EMF_LINE_BYTES, GB, SAMPLE_BYTES
from operator_cli.estimate import figures as known
from operator_cli.estimate.figures import Range
from operator_cli.estimate.needs import Needs
from operator_cli.estimate.parts import Part, bought, tasks_of
from operator_cli.estimate.pricing import DAYS_IN_A_MONTH, HOURS, Pricing, added

ZONES: Final = 3
INTERFACE_ENDPOINTS: Final = 16
"""Services that tasks call, as `infra/endpoints.py` has them; those of S3 and DynamoDB cost nothing."""
WEB_ACL_RULES_SET: Final = 4

BALANCER_UNITS: Final = "AWSELB/LCUUsage"
WEB_ACL_REQUESTS: Final = "awswaf/RequestV2-Tier1"
ENDPOINT_BYTES: Final = "AmazonVPC/VpcEndpoint-Bytes"
KEY_REQUESTS: Final = "awskms/KMS-Requests"

_NEW_CONNECTIONS_A_UNIT: Final = 25
_OPEN_CONNECTIONS_A_UNIT: Final = 3_000
_BYTES_A_UNIT_HOUR: Final = 10**9
"""What one unit of a load balancer carries; Elastic Load Balancing pricing."""
_SECONDS_AN_HOUR: Final = 3_600


def serving_parts(needs: Needs, pricing: Pricing) -> Iterator[Part]:
    """Each part."""
    workload = needs.workload
    requests = workload.requests_per_day * DAYS_IN_A_MONTH
    yield tasks_of(
        "gateway",
        needs.facts.sizes.gateway,
        needs.peak_gateway_tasks,
        pricing,
        layer="serving",
        source="CPU and streams of the gateway benchmark, at the peak; a task has one event loop",
        mean=needs.gateway_tasks(workload.requests_per_s),
    )
    units = _balancer_units(needs)
    yield Part(
        "load balancer",
        "serving",
        units,
        "units",
        added(
            pricing.month(LOAD_BALANCER_HOURS, Range.exactly(HOURS)),
            pricing.month(BALANCER_UNITS, units * HOURS),
        ),
        f"{pricing.source_of(LOAD_BALANCER_HOURS)}; bytes of events in the mean",
    )
    yield Part(
        "web ACL",
        "serving",
        Range.exactly(requests),
        "requests",
        added(
            pricing.month(WEB_ACLS, Range.exactly(1)),
            pricing.month(WEB_ACL_RULES, Range.exactly(WEB_ACL_RULES_SET)),
            pricing.month(WEB_ACL_REQUESTS, Range.exactly(requests)),
        ),
        pricing.source_of(WEB_ACL_REQUESTS),
    )
    endpoints = Range.exactly(INTERFACE_ENDPOINTS * ZONES)
    yield bought(
        "endpoints, by the hour", ENDPOINT_HOURS, endpoints * HOURS, "hours", pricing, layer="serving"
    )
    carried = _endpoint_bytes(needs) * (requests / GB)
    yield bought("endpoints, by the GB", ENDPOINT_BYTES, carried, "GB", pricing, layer="serving")
    reads = needs.key_reads_per_s * (HOURS * _SECONDS_AN_HOUR)
    yield bought("API keys read again", KEY_REQUESTS, reads, "requests", pricing, layer="serving")


def _balancer_units(needs: Needs) -> Range:
    """In the mean: an hour is billed by the dimension of which it used the most."""
    rate = needs.workload.requests_per_s
    said = known.PROMPT_BYTES.value * needs.workload.input_tokens
    answered = known.CHUNK_BYTES.value * needs.workload.output_tokens
    carried = (said + answered) * (rate * _SECONDS_AN_HOUR / _BYTES_A_UNIT_HOUR)
    streams = needs.streams(rate) * (Decimal(1) / _OPEN_CONNECTIONS_A_UNIT)
    return carried.larger(streams).larger(Range.exactly(rate / _NEW_CONNECTIONS_A_UNIT))


def _endpoint_bytes(needs: Needs) -> Range:
    """Of a request: to and from the model, and what is written of it; the ledger goes through a gateway."""
    workload = needs.workload
    asked = known.PROMPT_BYTES.value * workload.input_tokens
    answered = known.FRAME_BYTES.value * workload.output_tokens
    return asked + answered + Range.exactly(EMF_LINE_BYTES + SAMPLE_BYTES * workload.sample_rate)
