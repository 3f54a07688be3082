// A box with data-check-all ticks every box that its selector names.
document.addEventListener("change", function (event) {
  "use strict";
  const all = event.target.closest("[data-check-all]");
  if (!all) return;
  for (const box of document.querySelectorAll(all.dataset.checkAll)) box.checked = all.checked;
});
