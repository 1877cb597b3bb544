"""An estimate for programs. Amounts are text, exact."""

from decimal import Decimal
from typing import Any

from operator_cli.estimate.estimating import Estimate, Size
from operator_cli.estimate.figures import FIGURES, Figure, Range
from operator_cli.estimate.levers import TARGET, Lever
from operator_cli.estimate.limits import Filling
from operator_cli.estimate.parts import Part
from operator_cli.estimate.workload import Workload


def facts_of(found: Estimate) -> dict[str, Any]:
    """All of it, with the source of each figure."""
    asked, pricing = found.asked, found.pricing
    return {
        "estimated": True,
        "region": pricing.region,
        "prices": pricing.prices.version,
        "at": pricing.at.isoformat(),
        "judge": asked.facts.judge,
        "grow": asked.growth,
        "target_share": _exact(TARGET),
        "workload": _workload(asked.workload),
        "sizes": [_size(size) for size in found.sizes],
        "limits": [_filling(filling, found.sizes) for filling in found.fillings],
        "levers": [_lever(lever) for lever in found.levers],
        "figures": {name: _figure(figure) for name, figure in FIGURES.items()},
    }


def _workload(workload: Workload) -> dict[str, Any]:
    return {
        "tenants": workload.tenants,
        "requests_per_day": workload.requests_per_day,
        "tokens_per_request": workload.tokens_per_request,
        "output_share": _exact(workload.output_share),
        "models": {name: _exact(share) for name, share in workload.models.items()},
        "models_per_tenant": workload.models_per_tenant,
        "sample_rate": _exact(workload.sample_rate),
        "peak_to_mean": _exact(workload.peak_to_mean),
        "largest_tenant": _exact(workload.largest_tenant),
    }


def _size(size: Size) -> dict[str, Any]:
    return {
        "factor": _exact(size.factor),
        "workload": _workload(size.workload),
        "parts": [_part(part) for part in size.parts],
        "inference": [
            {
                "model_id": model.model_id,
                "request_share": _exact(model.share),
                "usd_per_month": _range(model.usd),
                "source": model.basis,
            }
            for model in size.models
        ],
        "inference_usd_per_month": _range(size.inference_usd),
        "observing_usd_per_month": _range(size.observing_usd),
        "unknown": [*size.unknown, *size.inference_unknown],
        "share": _range(size.share),
        "observability_share_percent_share": _range(size.metered_share),
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "layer": part.layer,
        "quantity": _range(part.quantity),
        "unit": part.unit,
        "usd_per_month": _range(part.usd),
        "usd_in_observability_share_percent": _range(part.metered_usd),
        "source": part.source,
    }


def _filling(filling: Filling, sizes: tuple[Size, ...]) -> dict[str, Any]:
    quota = filling.limits[0].quota
    return {
        "name": filling.limits[0].name,
        "allowed": _exact(quota.value),
        "unit": quota.unit,
        "adjustable": quota.adjustable,
        "source": quota.source,
        "full_at": _exact(filling.full_at),
        "change": filling.limits[0].change,
        "used": [
            {
                "factor": _exact(size.factor),
                "used": _range(limit.used),
                "allowed": _exact(limit.quota.value),
                "fullness": _exact(limit.fullness),
            }
            for size, limit in zip(sizes, filling.limits, strict=True)
        ],
    }


def _lever(lever: Lever) -> dict[str, Any]:
    return {"change": lever.what, "share": _range(lever.share), "within_target": lever.enough}


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "value": _range(figure.value),
        "unit": figure.unit,
        "measured": figure.measured,
        "source": figure.source,
    }


def _range(value: Range | None) -> dict[str, str | None] | None:
    if value is None:
        return None
    return {"low": _exact(value.low), "likely": _exact(value.likely), "high": _exact(value.high)}


def _exact(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
