"""What can be asked of an estimate, and what it is about when nothing is said: the design's scale."""

from dataclasses import dataclass
from decimal import Decimal

from operator_cli.connection import DEFAULT_REGION
from operator_cli.estimate.workload import Growth


@dataclass(frozen=True, slots=True)
class Options:
    """As on the command line."""

    tenants: int = 50
    requests_per_day: int = 2_000_000
    tokens_per_request: int = 4_000
    models: str = "claude-sonnet-4-6,claude-haiku-4-5,nova-2-lite,nova-pro,nova-lite"
    models_per_tenant: int = 3
    output_share: Decimal = Decimal("0.15")
    sample_rate: Decimal = Decimal("0.05")
    judge: str | None = None
    """None is the judge of EVAL_JUDGE, else of the list."""
    bands: bool | None = None
    """None is WATCH_BANDS."""
    peak_to_mean: Decimal = Decimal(3)
    """A busy hour has twice the mean, a minute of it half as much again; benchmarks/capacity: 2.4 to 2.9."""
    largest_tenant: Decimal = Decimal("0.2")
    """Of 50 tenants by Zipf's law: 0.22."""
    region: str = DEFAULT_REGION
    factors: tuple[Decimal, ...] = (Decimal(1), Decimal(10), Decimal(100), Decimal(1_000))
    growth: Growth = "tenants"
