"""A trace's lines in the gateway's log, by Logs Insights: a query costs by what it scans, so on demand."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from llmplatform import ids
from llmplatform.aws.tables import GATEWAY_LOGS
from llmplatform.errors import TelemetryFault
from watch.reading.queries import answered

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_logs import CloudWatchLogsClient

MOST_LINES: Final = 20
WITHIN_S: Final = 8.0
AROUND: Final = timedelta(minutes=5)
"""Lines are dated by when they were written, a moment after the request."""
_RUNNING: Final = frozenset({"Scheduled", "Running"})


class LogQueryFailed(TelemetryFault):
    """Logs Insights did not answer in time, or not at all."""

    code = "log_query_failed"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line."""

    at: str
    """As Logs Insights says it, UTC."""
    message: str


def query_of(trace_id: str, tenant_id: str | None = None) -> str:
    """The query that finds a trace (32 hex digits) in the gateway's lines, for us and for a person.

    Of one tenant alone where `tenant_id` is given.
    """
    only = "" if tenant_id is None else f'| filter @message like /"tenant_id": ?"{tenant_id}"/ '
    return (
        f"fields @timestamp, @message | filter @message like /{ids.as_uuid(trace_id)}/ {only}"
        f"| sort @timestamp asc | limit {MOST_LINES}"
    )


class LogLineReader:
    """CloudWatch Logs behind an SDK's client. What it raises, passes."""

    def __init__(self, logs: "CloudWatchLogsClient", *, within_s: float = WITHIN_S) -> None:
        self._logs = logs
        self._within_s = within_s

    async def of_trace(
        self, trace_id: str, start: datetime, end: datetime, tenant_id: str | None = None
    ) -> tuple[LogLine, ...]:
        """The lines of a trace (32 hex digits) around a time, of one tenant or of whichever.

        Raises LogQueryFailed when it takes long.
        """
        started = await self._logs.start_query(
            logGroupName=GATEWAY_LOGS.name,
            startTime=int((start - AROUND).timestamp()),
            endTime=int((end + AROUND).timestamp()),
            queryString=query_of(trace_id, tenant_id),
            limit=MOST_LINES,
        )
        query_id = started["queryId"]
        try:
            answer = await answered(
                lambda: self._logs.get_query_results(queryId=query_id),
                running=lambda told: told["status"] in _RUNNING,
                call_off=lambda: self._logs.stop_query(queryId=query_id),
                within_s=self._within_s,
            )
        except TimeoutError:
            raise LogQueryFailed(f"Logs Insights had no answer within {self._within_s:.0f} s") from None
        if answer["status"] != "Complete":
            raise LogQueryFailed(f"Logs Insights says: {answer['status']}")
        lines = ({one["field"]: one["value"] for one in result} for result in answer["results"])
        return tuple(LogLine(line.get("@timestamp", ""), line.get("@message", "")) for line in lines)
