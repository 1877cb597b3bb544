"""Both sides put into the same cells: a UTC day, a meter and, for instances, an endpoint. Pure.

Inside a cell the bill may name tenants, by a tag or by who called. It names a tenant wholly unless it has
less of it than we and more that is laid to nobody's account: then part of what is nobody's is the tenant's,
and how much is not told. Instances are shared among tenants, of which no bill knows: they are compared by
endpoint.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from costagg.reconciliation.charges import Charge
from costagg.reconciliation.residuals import Attributed, Billed
from costagg.reconciliation.usage_types import Meter, Metered, UsageTypes
from llmplatform.costs import CostLine


@dataclass(frozen=True, slots=True)
class CellKey:
    """What a cell is about."""

    day: date
    meter: Meter
    endpoint_name: str | None


@dataclass(slots=True)
class Cell:
    """Both sides, by tenant; on the bill's, None is nobody's account."""

    billed: dict[str | None, Billed] = field(default_factory=dict)
    attributed: dict[str, Attributed] = field(default_factory=dict)
    usage_types: set[str] = field(default_factory=set)

    def whole(self) -> tuple[Billed, Attributed]:
        """Both sides of all tenants together."""
        return self._together(self.billed, self.attributed)

    def by_tenant(self) -> tuple[dict[str, tuple[Billed, Attributed]], tuple[Billed, Attributed], set[str]]:
        """The tenants that the bill names wholly, what it does not tell, and whom of ours that holds."""
        untold = self.billed.get(None)
        named: dict[str, tuple[Billed, Attributed]] = {}
        rest_billed: dict[str | None, Billed] = {} if untold is None else {None: untold}
        rest_attributed: dict[str, Attributed] = {}
        for tenant in {*(one for one in self.billed if one is not None), *self.attributed}:
            billed = self.billed.get(tenant, Billed())
            attributed = self.attributed.get(tenant, Attributed())
            lacks = attributed.quantity + attributed.unpriced > billed.quantity
            if lacks and untold is not None and untold.quantity > 0:
                rest_billed[tenant], rest_attributed[tenant] = billed, attributed
            else:
                named[tenant] = (billed, attributed)
        return named, self._together(rest_billed, rest_attributed), set(rest_attributed)

    @staticmethod
    def _together(
        billed: Mapping[str | None, Billed], attributed: Mapping[str, Attributed]
    ) -> tuple[Billed, Attributed]:
        all_billed, all_attributed = Billed(), Attributed()
        for bill in billed.values():
            all_billed.add(bill.usd, bill.quantity, bill.rows, bill.per_unit)
        for ours in attributed.values():
            all_attributed.merge(ours)
        return all_billed, all_attributed


class Cells:
    """All cells of a period, filled from both sides in any order."""

    def __init__(self, usage_types: UsageTypes) -> None:
        self._usage_types = usage_types
        self._meters: dict[tuple[str, ...], Meter] = {}
        self.cells: defaultdict[CellKey, Cell] = defaultdict(Cell)

    def bill(self, charge: Charge) -> bool:
        """Take a usage charge in; False where its usage type is not known."""
        metered = self._usage_types.metered(charge)
        if metered is None:
            return False
        self._put(charge, metered)
        return True

    def attribute(self, lines: Iterable[CostLine]) -> None:
        """Take cost lines in."""
        for line in lines:
            about = (line.service, line.price_key, line.charge_class, line.service_tier, line.region)
            meter = self._meters.get(about)
            if meter is None:
                meter = self._meters[about] = self._usage_types.meter_of(line)
            endpoint = _endpoint(meter, line.endpoint_name)
            cell = self.cells[CellKey(line.hour.date(), meter, endpoint)]
            side = cell.attributed.get(line.tenant_id)
            if side is None:
                side = cell.attributed[line.tenant_id] = Attributed()
            side.add(line.amount_usd, line.quantity, line.requests)

    def _put(self, charge: Charge, metered: Metered) -> None:
        meter = metered.meter
        cell = self.cells[CellKey(charge.day, meter, _endpoint(meter, charge.endpoint_name))]
        tenant = charge.tenant_id if meter.charge_class not in {"instance", "service"} else None
        cell.billed.setdefault(tenant, Billed()).add(
            charge.cost_usd, charge.amount * metered.per_unit, charge.rows, metered.per_unit
        )
        if charge.usage_type:
            cell.usage_types.add(charge.usage_type)


def _endpoint(meter: Meter, name: str | None) -> str | None:
    """Only instances belong to an endpoint; AWS writes names in resource ids in lower case."""
    return name.lower() if name is not None and meter.charge_class == "instance" else None
