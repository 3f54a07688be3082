"use strict";

// When another strategy is chosen, its parameters take the place of the old ones. The server makes them: this fetches
// the same page for that strategy and moves three pieces of it over; what was typed elsewhere stays.
document.addEventListener("DOMContentLoaded", () => {
  const choice = document.getElementById("id_strategy");
  if (!choice) return;
  const pieces = [".fieldset-parameters", ".field-params_edit_as", ".field-params_yaml", "#id_params_of"];

  choice.addEventListener("change", async () => {
    const url = new URL(window.location.href);
    url.searchParams.set("strategy", choice.value);
    const answer = await fetch(url, { credentials: "same-origin" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const piece of pieces) {
      const [now, next] = [document.querySelector(piece), page.querySelector(piece)];
      if (now && next) now.replaceChildren(...next.childNodes);
      if (now && next && "value" in next) now.value = next.value;
    }
  });
});
