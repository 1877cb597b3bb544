"""How soon a fall of scores is seen, and how often one is seen that is none; prints tables, writes a figure.

    python benchmarks/drift/run.py [--quick] [--seed N]

--quick   fewer series and no figure; rough numbers, about a minute
--seed    of all randomness; 20261123 unless told

Tables are Markdown, for docs/drift.md; the figure goes to docs/figures/drift-delay.svg. What watches is in
`watchers.py`, what it watches in `world.py`. Eight days are learnt from; then 30 days without a change are
watched for false alarms, or a fall begins at a random minute of the next day. All see the same scores.
"""

import argparse
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from simulation import delays, false_alarms
from watchers import (
    SHIPPED,
    Cusum,
    Detector,
    PageHinkley,
    Percent15,
    ShippedDrop,
    TwoSigma,
    Windows,
)
from world import CALM, GOOD_MEAN, ROUGH, SWINGING, Conditions, Floats

mpl.use("svg")
mpl.rcParams["svg.fonttype"] = "none"  # text stays text: a quarter of the size
mpl.rcParams["svg.hashsalt"] = "drift"  # the same numbers give the same file
from matplotlib import pyplot as plt  # noqa: E402 - only after its backend is chosen

SERIES_OF_MODEL = 5
"""Four judged dimensions and BERTScore."""
SERIES_OF_TENANT = SHIPPED.detector.series
REQUESTS_PER_DAY = (10_000, 40_000, 200_000)
RATES = (0.01, 0.05, 0.20, 1.00)
VOLUMES = sorted({round(requests * rate) for requests in REQUESTS_PER_DAY for rate in RATES})
DEFAULT_VOLUMES = [round(requests * 0.05) for requests in REQUESTS_PER_DAY]
FALLS = {"0.3": 0.3, "0.6": 0.6, "15 %": 0.15 * GOOD_MEAN, "1.0": 1.0}
WATCHERS: tuple[type[Detector | ShippedDrop | Windows | Cusum | PageHinkley], ...] = (
    Detector,
    ShippedDrop,
    Percent15,
    TwoSigma,
    Cusum,
    PageHinkley,
)
CONDITIONS = (CALM, SWINGING, ROUGH)
FIGURE = Path(__file__).parents[2] / "docs/figures/drift-delay.svg"

Delays = dict[tuple[int, str], Floats]
Alarms = dict[tuple[Conditions, int], list[float]]
"""In a month and series, by kind of watcher."""


def main() -> None:
    """Run everything and print it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--seed", type=int, default=20261123)
    chosen = options.parse_args()
    started = time.perf_counter()
    fallen_series, null_series = (60, 10) if chosen.quick else (300, SERIES_OF_TENANT)

    found: Delays = {
        (volume, name): delays(
            CALM, volume, fall, series=fallen_series, seed=chosen.seed + volume, kinds=(Detector,)
        )[0]
        for volume in VOLUMES
        for name, fall in FALLS.items()
    }
    print("Detection delay, median / 90th percentile (found within 15 min, within 60 min):\n")
    print(delay_table(found))

    alarms: Alarms = {}
    for conditions in CONDITIONS:
        for volume in VOLUMES:
            rings = false_alarms(
                conditions, volume, series=null_series, seed=chosen.seed + volume, kinds=WATCHERS
            )
            alarms[conditions, volume] = [ring / null_series for ring in rings]
    print(f"\nFalse alarms of this detector in a month, over {SERIES_OF_TENANT} series:\n")
    print(null_table(alarms))
    print("\nFalse alarms of one model in a month at a rate of 5 %, calm / swinging / rough traffic:\n")
    print(peers_table(alarms))

    print("\nDelay of a fall of 0.6 at a rate of 5 %, median / 90th percentile:\n")
    print(peers_delay_table(fallen_series // 2, chosen.seed))
    if not chosen.quick:
        draw(found, alarms)
        print(f"\nwrote {FIGURE.name}")
    print(f"\n{time.perf_counter() - started:.0f} s")


def delay_table(found: Delays) -> str:
    """The detector's delay by requests, rate and fall."""
    rows = []
    for requests in REQUESTS_PER_DAY:
        for rate in RATES:
            volume = round(requests * rate)
            cells = (delay_cell(found[volume, name]) for name in FALLS)
            rows.append([f"{requests:,}", f"{100 * rate:.0f} %", *cells])
    return table(["requests a day", "rate", *(f"fall of {name}" for name in FALLS)], rows)


def null_table(alarms: Alarms) -> str:
    """The detector's false alarms by number of scores."""
    rows = [
        [c.name, *(f"{SERIES_OF_TENANT * alarms[c, volume][0]:.0f}" for volume in VOLUMES)]
        for c in CONDITIONS
    ]
    return table(["scores a day", *(f"{volume:,}" for volume in VOLUMES)], rows)


def peers_table(alarms: Alarms) -> str:
    """Everyone's false alarms."""
    rows = [
        [
            kind.name,
            *(
                " / ".join(rounded(SERIES_OF_MODEL * alarms[c, volume][at]) for c in CONDITIONS)
                for volume in DEFAULT_VOLUMES
            ),
        ]
        for at, kind in enumerate(WATCHERS)
    ]
    return table(["", *(f"{requests:,} requests a day" for requests in REQUESTS_PER_DAY)], rows)


def peers_delay_table(series: int, seed: int) -> str:
    """Everyone's delay, and the detector's in rough traffic."""
    calm, rough = (
        [
            delays(conditions, volume, 0.6, series=series, seed=seed + volume, kinds=kinds)
            for volume in DEFAULT_VOLUMES
        ]
        for conditions, kinds in ((CALM, WATCHERS), (ROUGH, (Detector,)))
    )
    rows = [
        [kind.name, *(median_and_p90(of_volume[at]) for of_volume in calm)]
        for at, kind in enumerate(WATCHERS)
    ]
    rows.insert(1, [f"{Detector.name}, rough traffic", *(median_and_p90(found[0]) for found in rough)])
    return table(["", *(f"{requests:,} requests a day" for requests in REQUESTS_PER_DAY)], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def quantile(values: Floats, at: float) -> float:
    """A quantile that is one of the values, so that infinity stays what it is."""
    return float(np.quantile(values, at, method="higher"))


def median_and_p90(values: Floats) -> str:
    """Both, as people say durations."""
    return f"{spoken(quantile(values, 0.5))} / {spoken(quantile(values, 0.9))}"


def delay_cell(values: Floats) -> str:
    """Median, 90th percentile, and shares within 15 and 60 minutes."""
    within = (f"{100 * np.mean(values <= minutes):.0f} %" for minutes in (15, 60))
    return f"{median_and_p90(values)} ({', '.join(within)})"


def spoken(minutes: float) -> str:
    """A duration as people say it."""
    if np.isinf(minutes):
        return "> 7 d"
    if minutes < 2 * 60:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 3 * 24 * 60 else f"{minutes / 1440:.0f} d"


def rounded(rate: float) -> str:
    """A rate to what its digits can bear."""
    return f"{rate:.2g}" if 0 < rate < 10 else f"{rate:,.0f}"  # noqa: PLR2004


def draw(found: Delays, alarms: Alarms) -> None:
    """Delay by number of scores, and everyone's false alarms."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for name in FALLS:
        median, p90 = (
            [seen if np.isfinite(seen := quantile(found[volume, name], at)) else np.nan for volume in VOLUMES]
            for at in (0.5, 0.9)
        )
        (line,) = left.plot(VOLUMES, median, marker="o", label=f"fall of {name}")
        left.plot(VOLUMES, p90, ls=":", color=line.get_color())
    for minutes, label in ((15, "15 min"), (60, "1 h"), (1440, "1 day")):
        left.axhline(minutes, color="0.7", lw=0.8)
        left.text(VOLUMES[-1], minutes * 1.08, label, color="0.4", ha="right")
    for requests, volume in zip(REQUESTS_PER_DAY, DEFAULT_VOLUMES, strict=True):
        left.axvline(volume, color="0.85", lw=0.8, zorder=0)
        left.text(volume, 1.1, f" 5 % of {requests // 1000}k", color="0.4", fontsize=8)
    left.set(
        xscale="log", yscale="log", xlabel="scores a day", ylabel="minutes until the alarm", ylim=(1, 1e4)
    )
    left.set_title("Delay: median, and 90th percentile (dotted)")
    left.legend(fontsize=8)
    for at, kind in enumerate(WATCHERS):
        rates = [max(SERIES_OF_MODEL * alarms[ROUGH, volume][at], 0.05) for volume in VOLUMES]
        right.plot(VOLUMES, rates, marker="o", label=kind.name)
    right.axhline(1, color="0.4", lw=0.8, ls="--")
    right.set(xscale="log", yscale="log", xlabel="scores a day", ylabel="none is drawn at 0.05")
    right.set_title("False alarms of one model in a month, rough traffic")
    right.legend(fontsize=8)
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
