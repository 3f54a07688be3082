"use strict";

// The page of a run that still goes on looks again every few seconds, and loads anew once the run has ended.
// (The skin's own htmx handlers take every swap for one of their forms and fail.)
document.addEventListener("DOMContentLoaded", () => {
  const mark = document.getElementById("desk-goes-on");
  if (!mark) return;

  const timer = setInterval(async () => {
    if (document.hidden) return;
    const answer = await fetch(window.location.href, { credentials: "same-origin" }).catch(() => null);
    if (!answer || !answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [now, next] = [document.getElementById("content-main"), page.getElementById("content-main")];
    if (!next || !page.getElementById("desk-goes-on")) {
      clearInterval(timer);
      window.location.reload();
      return;
    }
    now.replaceChildren(...next.childNodes);
  }, 1000 * Number(mark.dataset.seconds));
});
