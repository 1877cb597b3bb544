// What pages do beyond links and forms: local times, keys, theme, reloading. Each works without it but nicer with.
(() => {
  "use strict";

  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const short = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

  function addLocalTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      time.dataset.local = "";
      time.title = `${local.format(moment)} local time`;
      if (moment.getTimezoneOffset() === 0) continue; // it is the same
      const beside = document.createElement("small");
      const sameDay = moment.getDate() === moment.getUTCDate();
      beside.className = "local";
      beside.textContent = ` ${sameDay ? "" : `${day.format(moment)} `}${short.format(moment)} local`;
      time.append(beside);
    }
  }

  function nextTheme() {
    const root = document.documentElement;
    const next = { undefined: "dark", dark: "light", light: undefined }[root.dataset.theme];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      if (next) localStorage.setItem("theme", next);
      else localStorage.removeItem("theme");
    } catch {
      // It holds for this page then.
    }
    sayTheme();
    document.dispatchEvent(new CustomEvent("themechange"));
  }

  function sayTheme() {
    const name = document.documentElement.dataset.theme ?? "system";
    for (const button of document.querySelectorAll("[data-theme-toggle]")) button.textContent = `Theme: ${name}`;
  }

  function isTyping(target) {
    return target instanceof HTMLElement && (target.isContentEditable || target.closest("input, textarea, select"));
  }

  let led = 0; // when `g` was pressed

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const dialog = document.querySelector("dialog.shortcuts");
    if (dialog.open) return; // Escape is the browser's
    if (led && Date.now() - led < 1500) {
      led = 0;
      const place = [...document.querySelectorAll(".places a[data-key]")].find((a) => a.dataset.key === event.key);
      if (place) {
        event.preventDefault();
        place.click();
      }
      return;
    }
    const search = document.getElementById("search");
    if (event.key === "g") led = Date.now();
    else if (event.key === "t") nextTheme();
    else if (event.key === "?") dialog.showModal();
    else if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
    }
  }

  // A page that shows what is going on asks again, while somebody looks and nothing is being typed.
  function reloadWhileLookedAt(main) {
    const every = Number(main.dataset.reloadsS) * 1000;
    if (!every) return;
    setInterval(() => {
      if (document.hidden || isTyping(document.activeElement) || document.querySelector("dialog[open], details.menu[open]")) return;
      location.reload();
    }, every);
  }

  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    if (event.target.closest("[data-theme-toggle]")) nextTheme();
    if (event.target.closest("[data-shortcuts]")) document.querySelector("dialog.shortcuts").showModal();
  });
  addLocalTimes(document);
  sayTheme();
  reloadWhileLookedAt(document.getElementById("content"));
  window.addLocalTimes = addLocalTimes; // for what a page brings later, such as a live tail
})();
