"""An S3 client that dies at a chosen call, and counts them."""

from typing import Any, Literal

Moment = Literal["before", "after"]


class Killed(BaseException):
    """The process ended here."""


class MortalS3:
    """A client of which each call is numbered; at number `dies_at` the process ends, before or after it."""

    def __init__(self, s3: Any, dies_at: int | None = None, moment: Moment = "before") -> None:
        self.calls: list[str] = []
        self._s3 = s3
        self._dies_at = dies_at
        self._moment = moment

    def get_paginator(self, operation: str) -> Any:
        """As the client has it; listing is counted as one call."""
        self._count(operation)
        return self._s3.get_paginator(operation)

    def __getattr__(self, operation: str) -> Any:
        async def call(**request: Any) -> Any:
            dies = self._count(operation)
            answer = await getattr(self._s3, operation)(**request)
            if dies:
                raise Killed
            return answer

        return call

    def _count(self, operation: str) -> bool:
        """Whether to die after the call; dies here if it is to be before."""
        self.calls.append(operation)
        dies = self._dies_at == len(self.calls)
        if dies and (self._moment == "before" or operation == "list_objects_v2"):
            raise Killed
        return dies
