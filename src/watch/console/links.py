"""Where a trace goes on: AWS's own consoles, and Grafana. Pure.

On a laptop there is no such console, so there is no such link. Sources: X-Ray Developer Guide, "Deep
linking", for traces; the form of Logs Insights' links is documented nowhere and was read off (JSURL, escaped
twice, with `$` for `%`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode

from llmplatform import ids
from llmplatform.aws.tables import GATEWAY_LOGS

DEBUG_BOARD: Final = "llm-0b8e9e995d8d77f1e4770f0f79665aee"
"""The uid that `watch.grafana` gives the board of one trace."""
_DOMAINS: Final = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
_UNESCAPED: Final = "!'()*-._~"  # by JavaScript's encodeURIComponent
_ESCAPE: Final = "*+-./_@"  # and by its `escape`


@dataclass(frozen=True, slots=True)
class Link:
    """A way out."""

    title: str
    href: str


@dataclass(frozen=True, slots=True)
class Links:
    """What is known of where the platform runs."""

    region: str
    on_aws: bool = True
    """Whether AWS's own consoles show what we see: not where endpoints are elsewhere."""
    grafana_url: str | None = None

    def of_trace(self, trace_id: str, start: datetime, end: datetime, log_query: str) -> tuple[Link, ...]:
        """The ways out of a trace (32 hex digits) of that time."""
        found = []
        if self.on_aws:
            found.append(Link("X-Ray", f"{self._home('xray')}#/traces/{ids.as_xray(trace_id)}"))
            insights = _insights(log_query, GATEWAY_LOGS.name, start, end)
            found.append(Link("Logs Insights", f"{self._home('cloudwatch')}#logsV2:logs-insights{insights}"))
        if self.grafana_url is not None:
            query = urlencode(
                {
                    "var-trace_id": ids.as_uuid(trace_id),
                    "from": int(start.timestamp() * 1_000),
                    "to": int(end.timestamp() * 1_000),
                }
            )
            found.append(Link("Grafana", f"{self.grafana_url.rstrip('/')}/d/{DEBUG_BOARD}?{query}"))
        return tuple(found)

    def _home(self, service: str) -> str:
        domain = next(
            (domain for start, domain in _DOMAINS.items() if self.region.startswith(start)),
            "console.aws.amazon.com",
        )
        return f"https://{self.region}.{domain}/{service}/home?region={self.region}"


def _insights(query: str, log_group: str, start: datetime, end: datetime) -> str:
    detail = (
        f"~(end~{_text(_moment(end))}~start~{_text(_moment(start))}~timeType~{_text('ABSOLUTE')}"
        f"~tz~{_text('UTC')}~editorString~{_text(query)}~source~(~{_text(log_group)}))"
    )
    told = quote(f"?queryDetail={_escaped(detail)}", safe=_UNESCAPED)
    return told.replace("%", "$")


def _escaped(text: str) -> str:
    return quote(text, safe=_ESCAPE).replace("~", "%7E")


def _text(value: str) -> str:
    return "'" + quote(value, safe="!()").replace("~", "%7E").replace("%", "*")


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
