"""What an endpoint's instances are and how busy they seem: as a script says, or as the load does.

Nothing runs on these GPUs, so what is not scripted is made up from the calls in flight, always alike: a
machine that serves shows it, and none comes near what an alarm waits for. Publishing is `native_metrics`'.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

CALLS_THAT_FILL_AN_INSTANCE: Final = 4.0

_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000)]
_Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
_SummedPercent = Annotated[float, msgspec.Meta(ge=0)]

# Percent when nothing is asked, and what a full instance has more. GPU figures are of one GPU.
_IDLE: Final = {"gpu": 3.0, "gpu_memory": 62.0, "cpu": 6.0, "memory": 38.0, "disk": 15.0}
_LOADED: Final = {"gpu": 80.0, "gpu_memory": 6.0, "cpu": 45.0, "memory": 8.0, "disk": 0.0}


class Hardware(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint's instances and what each of them shows in percent; None follows the load.

    The two GPU figures are summed over an instance's GPUs, as AWS sends them: four full GPUs are 400.
    CPU is summed over cores in the same way.
    """

    instances: _Count = 1
    gpu_count: _Count = 1
    created_at: datetime | None = None
    """Since when the endpoint exists; None is since the runtime runs."""
    gpu_utilization: _SummedPercent | None = None
    gpu_memory_utilization: _SummedPercent | None = None
    cpu_utilization: _SummedPercent | None = None
    memory_utilization: _Percent | None = None
    disk_utilization: _Percent | None = None
    variant: str = "AllTraffic"
    enhanced: bool = False
    """Whether figures of each instance and GPU are published too: `EnableEnhancedMetrics`."""

    def __post_init__(self) -> None:
        """Refuse more than the GPUs have."""
        most = 100.0 * self.gpu_count
        for name in ("gpu_utilization", "gpu_memory_utilization"):
            figure = getattr(self, name)
            if figure is not None and figure > most:
                raise ValueError(f"{name} is at most {most:g}: 100 for each of {self.gpu_count} GPUs")

    def figures(self, concurrency: float) -> dict[str, float]:
        """One instance's figures by their CloudWatch names; `concurrency` is its mean calls in flight."""
        return {**self.gpu_figures(concurrency), **self._host_figures(concurrency)}

    def gpu_figures(self, concurrency: float) -> dict[str, float]:
        """Those of one instance's GPUs, summed over them; none where it has none."""
        if not self.gpu_count:
            return {}
        return {
            "GPUUtilization": _or(self.gpu_utilization, self.gpu_count * _under("gpu", concurrency)),
            "GPUMemoryUtilization": _or(
                self.gpu_memory_utilization, self.gpu_count * _under("gpu_memory", concurrency)
            ),
        }

    def _host_figures(self, concurrency: float) -> dict[str, float]:
        return {
            "CPUUtilization": _or(self.cpu_utilization, _under("cpu", concurrency)),
            "MemoryUtilization": _or(self.memory_utilization, _under("memory", concurrency)),
            "DiskUtilization": _or(self.disk_utilization, _under("disk", concurrency)),
        }

    def changed(self, content: bytes) -> "Hardware":
        """With the fields that a JSON object names. Raises msgspec.DecodeError, which says what is wrong."""
        changes = msgspec.json.decode(content)
        if not isinstance(changes, dict):
            raise msgspec.ValidationError("Expected an object of the fields to change")
        whole: dict[str, Any] = msgspec.to_builtins(self)
        return msgspec.convert(whole | changes, Hardware)


def instance_id(endpoint: str, variant: str, number: int) -> str:
    """The id of an endpoint's instance, the same in every run."""
    return "i-" + hashlib.sha256(f"{endpoint}/{variant}/{number}".encode()).hexdigest()[:17]


@dataclass(slots=True)
class Load:
    """Calls of one endpoint in flight, over monotonic seconds that it is given."""

    since_s: float
    in_flight: int = 0
    _peak: int = 0
    _call_seconds: float = 0.0
    _taken_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Measure from the beginning."""
        self._taken_s = self.since_s

    def begin(self, now_s: float) -> None:
        """Count a call that has begun."""
        self._pass(now_s)
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)

    def end(self, now_s: float) -> None:
        """Count a call that has ended."""
        self._pass(now_s)
        self.in_flight = max(0, self.in_flight - 1)

    def take_peak(self) -> int:
        """The most calls at once since this was last asked."""
        peak, self._peak = self._peak, self.in_flight
        return peak

    def take_mean(self, now_s: float) -> float:
        """The calls in flight on average since this was last asked."""
        self._pass(now_s)
        passed_s = now_s - self._taken_s
        mean = self._call_seconds / passed_s if passed_s > 0 else float(self.in_flight)
        self._taken_s, self._call_seconds = now_s, 0.0
        return mean

    def _pass(self, now_s: float) -> None:
        self._call_seconds += self.in_flight * (now_s - self.since_s)
        self.since_s = now_s


def _under(part: str, concurrency: float) -> float:
    return _IDLE[part] + _LOADED[part] * min(1.0, concurrency / CALLS_THAT_FILL_AN_INSTANCE)


def _or(scripted: float | None, followed: float) -> float:
    return followed if scripted is None else scripted
