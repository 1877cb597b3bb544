// Before anything is drawn: the theme that this browser was told to keep, if any.
(() => {
  "use strict";
  try {
    const kept = localStorage.getItem("theme");
    if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  } catch {
    // A browser that keeps nothing follows the system.
  }
})();
