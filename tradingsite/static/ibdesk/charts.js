// Charts: an element with data-chart names the JSON script of its figure. A figure names CSS variables for colours, so it
// is drawn again when the theme turns, and it is fitted again when its box gets another width.
(function () {
  "use strict";
  const narrow = window.matchMedia("(max-width: 560px)");
  const touch = window.matchMedia("(pointer: coarse)");
  const NARROW_CANDLES = 90;
  const drawn = new Map();
  const probe = document.body.appendChild(document.createElement("span"));
  probe.hidden = true;

  function resolve(value) {
    if (typeof value === "string" && value.startsWith("--")) {
      probe.style.color = "var(" + value + ")";
      return getComputedStyle(probe).color;
    }
    if (Array.isArray(value)) return value.length && typeof value[0] === "object" ? value.map(resolve) : value;
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner)]));
    }
    return value;
  }

  function axes(layout) {
    return Object.keys(layout).filter((name) => name.startsWith("yaxis"));
  }

  // The prices between two candles set the axis, with a little room.
  function priceRange(candles, from, to) {
    let low = Infinity, high = -Infinity;
    for (let i = Math.max(0, from); i <= Math.min(to, candles.low.length - 1); i++) {
      low = Math.min(low, candles.low[i]);
      high = Math.max(high, candles.high[i]);
    }
    const room = (high - low || high * 0.02) * 0.06;
    return [low - room, high + room];
  }

  function draw(box) {
    const figure = JSON.parse(document.getElementById(box.dataset.chart).textContent);
    const { data, layout } = resolve(figure);
    const isPrice = box.dataset.kind === "price";
    if (narrow.matches) {
      layout.font.size = 11;
      layout.margin = { l: 40, r: 8, t: 8, b: 28 };
      if (layout.legend) layout.legend.font = { size: 10 };
      for (const trace of data) if (trace.mode && trace.mode.startsWith("markers")) trace.showlegend = false;
      // A pane of its own is known by its title; the others have room for none.
      for (const name of axes(layout)) if (name === "yaxis" || name === "yaxis2") delete layout[name].title;
      layout.xaxis.nticks = isPrice && String(data[0].x[0]).length > 10 ? 2 : 4;
    }
    // A finger on a chart must scroll the page; a mouse may draw a window.
    layout.dragmode = touch.matches ? false : "zoom";
    for (const name of axes(layout)) {
      layout[name].fixedrange = true;
      // Measured from the tick labels, or a long one would run into the title.
      if (layout[name].title) layout[name].title.standoff = 6;
    }
    if (isPrice) {
      const last = data[0].x.length - 1;
      const from = narrow.matches ? Math.max(0, last - NARROW_CANDLES) : 0;
      layout.xaxis.range = [from - 0.5, last + 0.5];
      layout.yaxis.range = priceRange(data[0], from, last);
    }
    return Plotly.react(box, data, layout, {
      responsive: false,
      displaylogo: false,
      showTips: false,
      doubleClick: isPrice ? false : "reset+autosize",
      modeBarButtons: [["toImage", "zoom2d", "pan2d"]],  // named one by one: none may call home
      displayModeBar: touch.matches || narrow.matches ? false : "hover",
    });
  }

  function follow(box) {
    box.on("plotly_relayout", function (change) {
      const range = change["xaxis.range"] || [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (range[0] === undefined || change["yaxis.range"]) return;
      Plotly.relayout(box, { "yaxis.range": priceRange(box.data[0], Math.ceil(range[0]), Math.floor(range[1])) });
    });
    box.on("plotly_doubleclick", () => draw(box));
  }

  function start(box) {
    if (drawn.has(box)) return;
    drawn.set(box, 0);
    draw(box).then(function () {
      box.dataset.drawn = "";
      if (box.dataset.kind === "price") follow(box);
      // A box that was hidden or is laid out anew has another width than the one drawn at.
      new ResizeObserver(function () {
        const width = Math.round(box.clientWidth);
        if (!width || width === drawn.get(box)) return;
        drawn.set(box, width);
        Plotly.Plots.resize(box);
      }).observe(box);
    });
  }

  function startAll() {
    for (const box of document.querySelectorAll("[data-chart]")) start(box);
  }

  function redraw() {
    for (const box of drawn.keys()) {
      if (box.isConnected) draw(box); else drawn.delete(box);
    }
  }

  document.addEventListener("themechange", redraw);
  narrow.addEventListener("change", redraw);
  document.addEventListener("htmx:load", startAll);
  startAll();
})();
