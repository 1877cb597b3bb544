"""Whether and when to try again. Pure: randomness is handed in.

A retry budget keeps a failing backend from being hit harder because it fails: every request puts a tenth of
a retry into the budget, every retry takes one out.
"""

from llmplatform.errors import BackendFault, BackendRejected, BackendTimedOut

_BASE_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 2.0


class RetryBudget:
    """A bucket of retries, filled by requests."""

    __slots__ = ("_tokens", "capacity", "per_request")

    def __init__(self, *, per_request: float = 0.1, capacity: float = 20.0) -> None:
        self.per_request = per_request
        self.capacity = capacity
        self._tokens = capacity

    def deposit(self) -> None:
        """One request came in."""
        self._tokens = min(self.capacity, self._tokens + self.per_request)

    def withdraw(self) -> bool:
        """Take one retry, if there is one."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def may_repeat(fault: BackendFault) -> bool:
    """Whether the same call may succeed if it is simply made again."""
    if isinstance(fault, BackendTimedOut):
        return fault.phase == "connect"
    return fault.retryable


def may_fall_back(fault: BackendFault) -> bool:
    """Whether another model may succeed where this one failed.

    Not when the request itself was refused; a model id that is no longer served (404) is the model's fault.
    """
    return not isinstance(fault, BackendRejected) or fault.status in {403, 404}


def backoff_s(retry: int, random: float) -> float:
    """Seconds to wait before retry number `retry` (from 1): full jitter, `random` in [0, 1)."""
    return random * min(_MAX_BACKOFF_S, _BASE_BACKOFF_S * 2.0 ** (retry - 1))
