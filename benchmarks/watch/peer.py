"""What a script or a plain dashboard does instead: boto3, one GetMetricStatistics a figure of the overview.

`peer.py THREADS`: prints one JSON line. It asks for the same series and times as the console's overview of 24
hours and draws nothing.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import boto3
from world import catalogue, policies

from watch.console.overview import Overview
from watch.console.timerange import TimeRange
from watch.limits import Limits
from watch.metric_queries import Wanted


def main() -> None:
    """Ask, and tell what it took."""
    now = datetime.now(UTC)
    range_ = TimeRange.asked({"last": "24h"}, now)
    wanted = list(dict.fromkeys(Overview(policies(), catalogue(), range_, now, Limits()).wants()))
    client = boto3.client("cloudwatch", endpoint_url=os.environ["AWS_ENDPOINT_URL"])

    def ask(want: Wanted) -> dict[str, Any]:
        series, statistic = want.series, want.series.statistic
        kind = "ExtendedStatistics" if statistic.startswith("p") else "Statistics"
        answer: dict[str, Any] = client.get_metric_statistics(
            Namespace=series.namespace,
            MetricName=series.name,
            Dimensions=[{"Name": name, "Value": value} for name, value in series.dimensions],
            StartTime=want.span.first,
            EndTime=want.span.end,
            Period=want.span.period_s,
            **{kind: [statistic]},
        )
        return answer

    began_s, cpu_s = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(int(sys.argv[1])) as threads:
        answers = list(threads.map(ask, wanted))
    assert any(answer["Datapoints"] for answer in answers)
    print(
        json.dumps(
            {
                "calls": len(answers),
                "wall_s": time.monotonic() - began_s,
                "cpu_s": time.process_time() - cpu_s,
            }
        )
    )


if __name__ == "__main__":
    main()
