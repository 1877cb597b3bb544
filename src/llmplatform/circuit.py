"""Circuit state of one backend model: closed, open, or letting a probe through. Pure: time is handed in.

Only faults that speak of the backend's health count (`BackendFault.counts_against_health`): a malformed
request or a throttle says nothing about whether the next call would be answered.
"""

from dataclasses import dataclass
from typing import Literal

CircuitState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class CircuitRule:
    """When a circuit opens and for how long."""

    failure_ratio: float = 0.5
    """Share of failures in the window that opens it."""
    min_calls: int = 10
    """Fewer calls in the window than this prove nothing."""
    window_s: float = 30.0
    open_s: float = 10.0
    """Before a single probe is let through."""


class Circuit:
    """One backend model's circuit, over two half-windows so that it forgets without keeping every call."""

    __slots__ = ("_calls", "_failures", "_half_started_s", "_opened_s", "_probing", "rule")

    def __init__(self, rule: CircuitRule | None = None) -> None:
        self.rule = rule or CircuitRule()
        self._calls = [0, 0]
        self._failures = [0, 0]
        self._half_started_s = 0.0
        self._opened_s: float | None = None
        self._probing = False

    def state(self, now_s: float) -> CircuitState:
        """The state at monotonic time `now_s`."""
        if self._opened_s is None:
            return "closed"
        return "half_open" if now_s - self._opened_s >= self.rule.open_s else "open"

    def admit(self, now_s: float) -> bool:
        """Whether a call may go out now. In half-open state one call may, until its result is recorded."""
        state = self.state(now_s)
        if state == "closed":
            return True
        if state == "open" or self._probing:
            return False
        self._probing = True
        return True

    def record(self, *, healthy: bool, now_s: float, first: bool = True) -> None:
        """Take in the result of an admitted call; not its `first` when it broke after a healthy beginning.

        Calls from before the circuit opened may end at any time; while no probe is out, what they say is
        old news: it neither closes the circuit nor keeps it open for longer.
        """
        if self._opened_s is not None:
            if not self._probing:
                return
            self._probing = False
            if healthy:
                self._close(now_s)
            else:
                self._opened_s = now_s
            return
        self._roll(now_s)
        self._calls[0] += first
        self._failures[0] += not healthy
        calls, failures = sum(self._calls), sum(self._failures)
        if not healthy and calls >= self.rule.min_calls and failures >= self.rule.failure_ratio * calls:
            self._opened_s = now_s

    def release(self) -> None:
        """Give an admission back whose result says nothing about health: the client left, a throttle."""
        self._probing = False

    def _close(self, now_s: float) -> None:
        self._opened_s = None
        self._calls = [0, 0]
        self._failures = [0, 0]
        self._half_started_s = now_s

    def _roll(self, now_s: float) -> None:
        half = self.rule.window_s / 2
        elapsed = now_s - self._half_started_s
        if elapsed < half:
            return
        fresh = elapsed >= self.rule.window_s
        self._calls = [0, 0 if fresh else self._calls[0]]
        self._failures = [0, 0 if fresh else self._failures[0]]
        self._half_started_s = now_s if fresh else self._half_started_s + half
