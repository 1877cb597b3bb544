"""Whether X-Ray takes our traces: spans by OTLP need CloudWatch Logs as their destination."""

from collections.abc import Sequence

import aioboto3

from operator_cli.check import Check
from operator_cli.doctor_aws.looking import Look


def tracing_look() -> Look:
    """Transaction Search, and the share of spans that it indexes."""

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        async with session.client("xray") as xray:
            destination = await xray.get_trace_segment_destination()
            rules = await xray.get_indexing_rules()
        percentages = [
            rule["Rule"]["Probabilistic"]["DesiredSamplingPercentage"]
            for rule in rules["IndexingRules"]
            if "Probabilistic" in rule.get("Rule", {})
        ]
        return [
            destination_check(
                destination["Destination"], destination["Status"], max(percentages, default=None)
            )
        ]

    return Look("tracing", "xray:GetTraceSegmentDestination, xray:GetIndexingRules", ask)


def destination_check(destination: str, status: str, indexed_percent: float | None) -> Check:
    """Without Transaction Search, X-Ray answers 400 to every span that comes by OTLP."""
    enable = "aws xray update-trace-segment-destination --destination CloudWatchLogs (the data stack does it)"
    if destination != "CloudWatchLogs":
        found = f"traces go to {destination}: Transaction Search is off, and spans by OTLP are refused"
        return Check("tracing", "failed", found, enable)
    if status != "ACTIVE":
        return Check("tracing", "warning", f"Transaction Search is {status}", "wait some minutes, look again")
    share = "an unknown share" if indexed_percent is None else f"{indexed_percent:g} %"
    return Check("tracing", "ok", f"Transaction Search is on; {share} of spans is indexed")
