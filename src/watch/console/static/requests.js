// The live tail of requests: asks for what has ended since, while somebody looks, and stops by itself.
(() => {
  "use strict";

  const button = document.querySelector("[data-tail]");
  const body = document.querySelector("[data-tail-table] tbody");
  const status = document.querySelector("[data-tail-status]");
  if (!button || !body || !status) return;

  const everyMs = Number(button.dataset.tailEveryS) * 1000;
  const stopsAfterMin = Number(button.dataset.tailStopsAfterMin);
  const mostRows = Number(button.dataset.tailMostRows);
  const seen = new Set(button.dataset.tailSeen.split(" "));
  let after = button.dataset.tailAfter;
  let timer = 0;
  let stopsAt = 0;
  let added = 0;

  function say(text) {
    if (status.textContent !== text) status.textContent = text;
  }

  function stop(text) {
    clearTimeout(timer);
    timer = 0;
    stopsAt = 0;
    button.setAttribute("aria-pressed", "false");
    say(text);
  }

  function start() {
    stopsAt = Date.now() + stopsAfterMin * 60_000;
    button.setAttribute("aria-pressed", "true");
    say("Live: waiting for requests to end …");
    ask();
  }

  function again() {
    if (stopsAt) timer = setTimeout(ask, everyMs);
  }

  function insert(html) {
    const rows = document.createElement("template");
    rows.innerHTML = html; // rendered, and so escaped, by the server
    const fresh = [...rows.content.querySelectorAll("tr[data-request]")].filter((row) => !seen.has(row.dataset.request));
    if (!fresh.length) return;
    body.querySelector("td.nothing")?.parentElement.remove();
    for (const row of fresh) {
      seen.add(row.dataset.request);
      row.classList.add("fresh");
      window.addLocalTimes?.(row);
    }
    body.prepend(...fresh);
    while (body.rows.length > mostRows) body.rows[body.rows.length - 1].remove();
    added += fresh.length;
  }

  async function ask() {
    if (!stopsAt) return;
    if (document.hidden) return say("Live tail waits until this page is looked at."); // visibilitychange goes on
    if (Date.now() > stopsAt) return stop(`Live tail stopped after ${stopsAfterMin} minutes. Start it again to go on.`);
    const url = new URL(button.dataset.tail, location.href);
    url.searchParams.set("after", after);
    try {
      const answer = await fetch(url, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(15_000), redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      insert(await answer.text());
      after = answer.headers.get("x-tail-after") ?? after;
      if (stopsAt) say(`Live: ${added} since it was started; every ${everyMs / 1000} s.`);
    } catch {
      if (stopsAt) say("The live tail cannot be read now; it tries again.");
    }
    again();
  }

  button.hidden = false;
  button.addEventListener("click", () => (stopsAt ? stop("Live tail stopped.") : start()));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !stopsAt) return;
    clearTimeout(timer);
    ask();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "l" || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target instanceof Element && target.closest("input, textarea, select, dialog[open]")) return;
    button.click();
  });
})();
