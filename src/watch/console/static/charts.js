// Draws each chart of a page with uPlot, from the JSON beside it. Missing data is a gap; one crosshair for all.
(() => {
  "use strict";

  const SYNC = "page";
  const COLOURS = 6;
  const HEIGHT = 190;
  const drawn = [];
  let pointed = null; // where the crosshair is, of any chart: they share their times

  const cssValue = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function shown(value, kind) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    const digits = (n) => n.toLocaleString("en-US", { maximumFractionDigits: Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 10 ? 1 : Math.abs(n) >= 0.01 || n === 0 ? 2 : 5 });
    switch (kind) {
      case "ms": return size < 10000 ? `${digits(value)} ms` : `${digits(value / 1000)} s`;
      case "seconds": return `${digits(value)} s`;
      case "usd": return `$${digits(value)}`;
      case "percent": return `${digits(value)} %`;
      case "ratio": return `${digits(value * 100)} %`;
      case "per_second": return `${digits(value)} /s`;
      case "score": return value.toFixed(2);
      case "bytes": {
        const units = ["B", "KiB", "MiB", "GiB", "TiB"];
        let at = 0;
        let left = value;
        while (Math.abs(left) >= 1024 && at < units.length - 1) { left /= 1024; at += 1; }
        return `${digits(left)} ${units[at]}`;
      }
      default: return digits(value);
    }
  }

  // In UTC, as everything else on the page.
  function utc(seconds, withDay) {
    const text = new Date(seconds * 1000).toISOString();
    return withDay ? `${text.slice(0, 10)} ${text.slice(11, 16)} UTC` : text.slice(11, 16);
  }

  function axisTimes(_, splits) {
    let before = "";
    return splits.map((seconds) => {
      const text = new Date(seconds * 1000).toISOString();
      const date = text.slice(5, 10);
      const time = text.slice(11, 16);
      const told = date === before ? time : `${time}\n${date}`;
      before = date;
      return told;
    });
  }

  function scaleOf(data) {
    return (_, least, most) => {
      const levels = data.thresholds.map((one) => one.value);
      let low = Math.min(least ?? 0, ...levels);
      let high = Math.max(most ?? 1, ...levels);
      if (data.zero_based) low = Math.min(0, low);
      if (low === high) high = low + (Math.abs(low) || 1);
      const room = (high - low) * 0.08;
      return [data.zero_based && low === 0 ? 0 : low - room, high + room];
    };
  }

  // Threshold lines and marks, over the series, each with its name.
  function levels(data) {
    return (plot) => {
      const { ctx, bbox } = plot;
      const ratio = devicePixelRatio || 1;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.font = `${11 * ratio}px ${cssValue("--font")}`;
      ctx.lineWidth = ratio;
      for (const one of data.thresholds) {
        const y = Math.round(plot.valToPos(one.value, "y", true));
        ctx.strokeStyle = ctx.fillStyle = cssValue(`--${one.severity}`);
        ctx.setLineDash([2 * ratio, 3 * ratio]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        ctx.textAlign = "right";
        const above = y - bbox.top > 16 * ratio;
        ctx.fillText(one.label, bbox.left + bbox.width - 4 * ratio, above ? y - 4 * ratio : y + 12 * ratio);
      }
      for (const [at, one] of data.marks.entries()) {
        const x = Math.round(plot.valToPos(one.at, "x", true));
        ctx.strokeStyle = ctx.fillStyle = cssValue("--text");
        ctx.setLineDash([]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        const left = x > bbox.left + bbox.width / 2;
        ctx.textAlign = left ? "right" : "left";
        ctx.fillText(one.label, x + (left ? -4 : 4) * ratio, bbox.top + (12 + 13 * (at % 4)) * ratio);
      }
      ctx.restore();
    };
  }

  function seriesOf(data) {
    let colour = 0;
    return data.series.map((one) => {
      // A week before has the colour of what it is compared with, and is dashed.
      if (!one.week_before) colour += 1;
      const at = ((Math.max(colour, 1) - 1) % COLOURS) + 1;
      return {
        label: one.label,
        stroke: () => cssValue(`--series-${at}`),
        width: one.week_before ? 1 : 1.75,
        dash: one.week_before ? [5, 4] : undefined,
        spanGaps: false,
        paths: data.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
        points: { show: (plot, at) => alone(plot.data[at]), size: 4 },
        value: (_, value) => shown(value, data.kind),
      };
    });
  }

  // A point with gaps on both sides has no line: it is drawn as a dot.
  function alone(values) {
    return values.some((value, at) => value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null);
  }

  function optionsOf(data, width) {
    const grid = { stroke: () => cssValue("--line"), width: 1 };
    const axis = { stroke: () => cssValue("--muted"), grid, ticks: grid, font: `11px ${cssValue("--font")}` };
    return {
      width,
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      scales: { x: { time: true }, y: { range: scaleOf(data) } },
      cursor: { sync: { key: SYNC, setSeries: false }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
      legend: { live: true, markers: { dash: (_, at) => (data.series[at - 1]?.week_before ? "dashed" : "solid"), width: 2 } },
      series: [{ label: "UTC", value: (_, seconds) => (seconds === null ? "–" : utc(seconds, true)) }, ...seriesOf(data)],
      axes: [
        { ...axis, values: axisTimes, space: 64, size: 46 },
        { ...axis, values: (_, splits) => splits.map((value) => shown(value, data.kind)), size: 72 },
      ],
      hooks: {
        draw: [levels(data)],
        setCursor: [(plot) => { if (plot.cursor.idx !== undefined) pointed = plot.cursor.idx; }],
      },
    };
  }

  function draw(plotBox) {
    const source = plotBox.querySelector('script[type="application/json"]');
    const data = JSON.parse(source.textContent);
    const values = [data.times, ...data.series.map((one) => one.values)];
    const width = () => Math.max(240, Math.floor(plotBox.clientWidth));
    const plot = new uPlot(optionsOf(data, width()), values, plotBox);
    // Its legend is a table by which series are switched on and off: by keyboard too.
    for (const head of plot.root.querySelectorAll(".u-legend .u-series:not(:first-child) th")) {
      head.tabIndex = 0;
      head.setAttribute("role", "button");
      head.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        head.click();
      });
    }
    new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT })).observe(plotBox);
    plotBox.addEventListener("keydown", (event) => onArrow(event, plot, data, plotBox));
    drawn.push(plot);
  }

  // From point to point by the arrow keys, and said aloud.
  function onArrow(event, plot, data, plotBox) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || event.target !== plotBox) return;
    event.preventDefault();
    const last = data.times.length - 1;
    const from = pointed ?? (step < 0 ? last + 1 : -1);
    const at = Math.min(last, Math.max(0, from + step));
    pointed = at;
    for (const each of drawn) each.setCursor({ left: each.valToPos(data.times[at], "x"), top: 0 });
    const said = data.series.map((one) => `${one.label} ${one.values[at] === null ? "unknown" : shown(one.values[at], data.kind)}`);
    const reading = plotBox.closest(".chart").querySelector("[data-reading]");
    if (reading) reading.textContent = `${utc(data.times[at], true)}: ${said.join(", ")}`;
  }

  function redraw() {
    for (const plot of drawn) {
      plot.redraw(false, true);
      plot.root.querySelectorAll(".u-legend .u-series").forEach((row, at) => {
        const marker = row.querySelector(".u-marker");
        if (marker && at > 0) marker.style.borderColor = plot.series[at].stroke(plot, at);
      });
    }
  }

  function drawAll(root) {
    for (const plotBox of root.querySelectorAll(".chart .plot:not([data-drawn])")) {
      plotBox.dataset.drawn = "";
      draw(plotBox);
    }
  }

  drawAll(document);
  document.addEventListener("themechange", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  window.drawCharts = drawAll; // for what a page brings later
})();
