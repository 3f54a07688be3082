// The pages' own script: theme, search by keyboard, times as ages, polling that rests while nobody looks.
(function () {
  "use strict";
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function stored() {
    try { return localStorage.getItem("theme"); } catch { return null; }
  }
  function isDark() {
    return (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  }
  // At once, while the head is read, so that no page flashes in the wrong colours.
  const chosen = stored();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  // Charts listen to "themechange" on document and read their colours from the custom properties of site.css.
  function themed() {
    for (const button of document.querySelectorAll("[data-theme-toggle]")) button.textContent = isDark() ? "Light" : "Dark";
    document.dispatchEvent(new CustomEvent("themechange", { detail: { dark: isDark() } }));
  }
  dark.addEventListener("change", themed);

  function ages() {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[data-age]")) {
      const seconds = Math.max(0, Math.round((now - Date.parse(time.dateTime)) / 1000));
      const text = seconds < 90 ? seconds + " s" : seconds < 5400 ? Math.round(seconds / 60) + " min"
        : seconds < 172800 ? Math.round(seconds / 3600) + " h" : Math.round(seconds / 86400) + " days";
      time.textContent = text + (time.dataset.age ? " " + time.dataset.age : "");
    }
  }

  function movesThroughFound(event) {
    const box = document.getElementById("found");
    const links = [...box.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    if (event.key === "Escape") { box.replaceChildren(); document.getElementById("search").focus(); return true; }
    if (!links.length || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return false;
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    (next < 0 ? document.getElementById("search") : links[Math.min(next, links.length - 1)]).focus();
    return true;
  }

  document.addEventListener("keydown", function (event) {
    const search = document.getElementById("search");
    if (!search) return;
    if (event.target.closest(".search")) {
      if (movesThroughFound(event)) event.preventDefault();
    } else if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey
               && !event.target.closest("input, textarea, select, [contenteditable]")) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });

  document.addEventListener("click", function (event) {
    const box = document.getElementById("found");
    if (box && !event.target.closest(".search")) box.replaceChildren();
    const toggle = event.target.closest("[data-theme-toggle]");
    if (!toggle) return;
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* it holds for this page */ }
    themed();
  });

  document.addEventListener("submit", function (event) {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });

  document.addEventListener("htmx:beforeRequest", function (event) {
    if (document.hidden && event.target.closest("[data-live]")) event.preventDefault();
  });
  // A session that has ended answers with the login page: go there instead of showing it inside this one.
  document.addEventListener("htmx:beforeSwap", function (event) {
    const { xhr, pathInfo } = event.detail;
    if (xhr.responseURL && new URL(xhr.responseURL).pathname !== new URL(pathInfo.finalRequestPath, location).pathname) {
      event.preventDefault();
      location.reload();
    }
  });
  // Where the server does not answer, what is shown is old, and says so.
  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
    document.addEventListener(name, () => { root.dataset.stale = ""; });
  }
  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.successful) delete root.dataset.stale;
  });
  document.addEventListener("htmx:load", ages);

  document.addEventListener("DOMContentLoaded", function () {
    themed();
    ages();
    const tab = document.querySelector(".tabs [aria-current]");
    if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - 40;  // on a phone it may lie beyond the edge
    setInterval(ages, 1000);
  });
})();
