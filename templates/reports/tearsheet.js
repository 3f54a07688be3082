"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const narrow = matchMedia("(max-width: 520px)");
  const touch = matchMedia("(pointer: coarse)");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  // Theme: the colour scheme is one CSS property; figures name CSS variables and are drawn again when it turns.
  const root = document.documentElement;
  const isDark = () => (root.style.colorScheme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const probe = document.body.appendChild(document.createElement("span"));
  probe.hidden = true;

  function resolve(value) {
    if (typeof value === "string" && value.startsWith("--")) {
      probe.style.color = "var(" + value + ")";
      return getComputedStyle(probe).color;
    }
    if (Array.isArray(value)) return typeof value[0] === "object" ? value.map(resolve) : value;
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner)]));
    }
    return value;
  }

  function draw(id, figure, more) {
    const { data: traces, layout } = resolve(figure);
    if (narrow.matches) {
      layout.font.size = 11;
      layout.margin = { l: 40, r: 8, t: 8, b: 28 };
      for (const axis of ["yaxis", "yaxis2"]) if (layout[axis]) delete layout[axis].title;
      const label = layout.xaxis.type === "category" ? traces[0].x[0] : "";
      layout.xaxis.nticks = label.length > 10 ? 2 : 4;
    }
    // A finger on a chart must scroll the page; a mouse may draw a window.
    layout.dragmode = touch.matches ? false : "zoom";
    Object.assign(layout.xaxis, more || {});
    for (const axis of ["yaxis", "yaxis2"]) if (layout[axis]) layout[axis].fixedrange = true;
    return Plotly.react(id, traces, layout, {
      responsive: true,
      doubleClick: id === "price" ? false : "reset+autosize",
      displaylogo: false,
      showTips: false,
      modeBarButtons: [["toImage", "zoom2d", "pan2d"]],  // named one by one: none may call home
      displayModeBar: touch.matches || narrow.matches ? false : "hover",
    });
  }

  // Price chart: a window of bars, whose prices set the axis.
  const price = { instrument: byId("price") ? byId("price-instrument").value : "", from: 0, to: 0 };
  const figureOf = () => data.figures.prices[price.instrument];

  function priceRange() {
    const candles = figureOf().data[0];
    let low = Infinity, high = -Infinity;
    for (let i = price.from; i <= price.to; i++) {
      if (candles.low[i] < low) low = candles.low[i];
      if (candles.high[i] > high) high = candles.high[i];
    }
    const room = (high - low || high * 0.02) * 0.06;
    return [low - room, high + room];
  }

  function volumeTop() {
    const volume = figureOf().data.find((trace) => trace.type === "bar");
    return volume ? Math.max(1, ...volume.y.slice(price.from, price.to + 1).map((value) => value || 0)) * 1.05 : 1;
  }

  function setWindow(from, to, redraw) {
    const last = figureOf().data[0].x.length - 1;
    price.from = Math.max(0, Math.min(Math.round(from), last));
    price.to = Math.max(price.from, Math.min(Math.round(to), last));
    const ranges = {
      "xaxis.range": [price.from - 0.5, price.to + 0.5],
      "yaxis.range": priceRange(),
      "yaxis2.range": [0, volumeTop()],
    };
    const labels = figureOf().data[0].x;
    const shown = data.display[price.instrument];
    byId("price-window").textContent =
      labels[price.from] + " to " + labels[price.to] + ", " + (price.to - price.from + 1) + " of " + (last + 1) + " candles";
    byId("price-note").textContent =
      (shown.each ? count(shown.bars) + " bars are drawn as " + count(shown.shown) + " candles of " + shown.each + " (UTC). " : "") +
      (shown.split ? "Prices and fills before a split are in shares of the last bar. " : "") +
      (shown.marked < shown.fills ? "The newest " + count(shown.marked) + " of " + count(shown.fills) + " fills are marked. " : "");
    for (const button of byId("price-windows").querySelectorAll("[data-bars]")) {
      const bars = button.dataset.bars === "all" ? last + 1 : Number(button.dataset.bars);
      button.setAttribute("aria-pressed", String(price.to - price.from + 1 === Math.min(bars, last + 1)));
      button.hidden = button.dataset.bars !== "all" && bars > last;
    }
    byId("price-windows").querySelector("[data-step='-1']").disabled = price.from === 0;
    byId("price-windows").querySelector("[data-step='1']").disabled = price.to === last;
    price.busy = true;
    const done = redraw ? drawPrice(ranges) : Plotly.relayout("price", ranges);
    done.then(() => { price.busy = false; });
  }

  function drawPrice(ranges) {
    const figure = figureOf();
    figure.layout.yaxis.range = ranges["yaxis.range"];
    figure.layout.yaxis2.range = ranges["yaxis2.range"];
    return draw("price", figure, { range: ranges["xaxis.range"] });
  }

  function showInstrument(name) {
    price.instrument = name;
    byId("price-instrument").value = name;
    const labels = figureOf().data[0].x;
    const last = labels.length - 1;
    const width = narrow.matches ? 80 : 250;
    // The latest bars, or where nothing was traded in them, those around the latest fill.
    const filled = figureOf().data.filter((trace) => trace.mode === "markers").map((trace) => labels.lastIndexOf(trace.x[trace.x.length - 1]));
    const newest = Math.max(-1, ...filled);
    const to = newest >= 0 && newest <= last - width ? Math.max(newest + Math.round(width / 5), width - 1) : last;
    setWindow(to - width + 1, to, true);
  }

  function setUpPrice() {
    const windows = byId("price-windows");
    const add = (text, title, dataset, act) => {
      const button = windows.appendChild(document.createElement("button"));
      button.type = "button";
      button.textContent = text;
      button.title = title;
      if (text !== title) button.setAttribute("aria-label", title);
      Object.assign(button.dataset, dataset);
      button.addEventListener("click", act);
    };
    const step = (sign) => () => {
      const width = price.to - price.from + 1;
      const last = figureOf().data[0].x.length - 1;
      const from = Math.max(0, Math.min(price.from + sign * Math.ceil(width * 0.8), last - width + 1));
      setWindow(from, from + width - 1);
    };
    add("←", "Earlier bars", { step: "-1" }, step(-1));
    for (const bars of [80, 250, 1000]) {
      add(String(bars), bars + " bars", { bars: String(bars) }, () => setWindow(price.to - bars + 1 < 0 ? 0 : price.to - bars + 1, Math.max(price.to, bars - 1)));
    }
    add("All", "All bars", { bars: "all" }, () => setWindow(0, figureOf().data[0].x.length - 1));
    add("→", "Later bars", { step: "1" }, step(1));
    byId("price-instrument").addEventListener("change", (event) => showInstrument(event.target.value));
    const names = Object.keys(data.display);
    showInstrument(names.find((name) => data.display[name].fills) || price.instrument);
    byId("price").on("plotly_doubleclick", () => setWindow(0, figureOf().data[0].x.length - 1));
    byId("price").on("plotly_relayout", (change) => {
      if (price.busy) return;
      const [from, to] = change["xaxis.range"] || [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (from !== undefined) setWindow(Math.ceil(from), Math.floor(to));
    });
  }

  // Trades: columns of values; the table is rebuilt from them, always as text.
  const count = (value) => value.toLocaleString("en-US");
  const fixed = (value, decimals) => (value === null ? "–" : Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
  const signed = (value) => (value === null ? "–" : (value > 0 ? "+" : value < 0 ? "−" : "") + fixed(value, 2));
  const plain = (value) => (value === null ? "–" : value.toLocaleString("en-US", { maximumFractionDigits: 6 }).replace("-", "−"));
  const priced = (value) => (value === null ? "–" : value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 5 }));
  const columns = [
    { key: "number", title: "#", number: true },
    { key: "instrument", title: "Instrument" },
    { key: "side", title: "Side" },
    { key: "net_pnl", title: "Net P&L", number: true, text: signed, toned: true },
    { key: "return", title: "Return %", number: true, text: signed, toned: true },
    { key: "quantity", title: "Quantity", number: true, text: plain },
    { key: "entry_time", title: "Entry (UTC)" },
    { key: "entry_price", title: "Entry price", number: true, text: priced },
    { key: "exit_time", title: "Exit (UTC)" },
    { key: "exit_price", title: "Exit price", number: true, text: priced },
    { key: "commission", title: "Commission", number: true, text: (value) => fixed(value, 2) },
    { key: "bars", title: "Bars", number: true, text: plain },
  ];
  const order = { key: "number", down: true };

  function chosenTrades() {
    const trades = data.trades;
    const instrument = byId("trade-instrument").value;
    const result = byId("trade-result").value;
    const rows = trades.number.map((_, row) => row).filter((row) =>
      (!instrument || trades.instrument[row] === instrument) &&
      (!result || (result === "gain" ? trades.net_pnl[row] > 0 : trades.net_pnl[row] < 0)));
    const values = trades[order.key];
    const sign = order.down ? -1 : 1;
    return rows.sort((a, b) => {
      const [x, y] = [values[a], values[b]];
      if (x === y) return sign * (a - b);
      if (x === null || y === null) return x === null ? 1 : -1;
      return sign * (x < y ? -1 : 1);
    });
  }

  function fillTrades() {
    const rows = chosenTrades();
    const body = document.createElement("tbody");
    for (const row of rows) {
      const line = body.insertRow();
      for (const column of columns) {
        const value = data.trades[column.key][row];
        const cell = line.insertCell();
        cell.className = column.number ? "n" : "t";
        if (column.toned && value) cell.classList.add(value > 0 ? "gain" : "loss");
        if (column.key === "number" && data.trades.entry_bar[row] >= 0) {
          const button = cell.appendChild(document.createElement("button"));
          button.type = "button";
          button.textContent = value;
          button.setAttribute("aria-label", "Show trade " + value + " on the price chart");
          button.addEventListener("click", () => showTrade(row));
        } else {
          cell.textContent = column.text ? column.text(value) : value;
        }
      }
    }
    byId("trades").tBodies[0].replaceWith(body);
    const net = rows.reduce((sum, row) => sum + (data.trades.net_pnl[row] || 0), 0);
    byId("trade-count").textContent = count(rows.length) + (rows.length === 1 ? " trade" : " trades") + ", net " + signed(net);
  }

  function showTrade(row) {
    const [entry, exit] = [data.trades.entry_bar[row], data.trades.exit_bar[row]];
    const instrument = data.trades.instrument[row];
    if (instrument !== price.instrument) showInstrument(instrument);
    const room = Math.max(20, Math.ceil((exit - entry) * 0.4));
    setWindow(entry - room, exit + room);
    byId("h-price").scrollIntoView({ behavior: "smooth" });
  }

  function setUpTrades() {
    const table = byId("trades");
    const head = table.createTHead().insertRow();
    table.createTBody();
    for (const column of columns) {
      const cell = head.appendChild(document.createElement("th"));
      cell.scope = "col";
      if (column.number) cell.className = "n";
      const button = cell.appendChild(document.createElement("button"));
      button.type = "button";
      button.textContent = column.title;
      button.addEventListener("click", () => {
        order.down = order.key === column.key ? !order.down : Boolean(column.number);
        order.key = column.key;
        markOrder();
        fillTrades();
      });
    }
    const markOrder = () => columns.forEach((column, at) => {
      if (column.key === order.key) head.cells[at].setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else head.cells[at].removeAttribute("aria-sort");
    });
    for (const name of [...new Set(data.trades.instrument)].sort()) byId("trade-instrument").add(new Option(name, name));
    byId("trade-instrument").addEventListener("change", fillTrades);
    byId("trade-result").addEventListener("change", fillTrades);
    markOrder();
    fillTrades();
  }

  function drawAll() {
    if (data.figures.equity) draw("equity", data.figures.equity);
    if (data.figures.exposure) draw("exposure", data.figures.exposure);
  }

  function setUpTheme() {
    const button = byId("theme");
    const name = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", "Switch to the " + (isDark() ? "light" : "dark") + " theme");
    };
    const turn = () => {
      name();
      drawAll();
      if (byId("price")) setWindow(price.from, price.to, true);
    };
    button.hidden = false;
    button.addEventListener("click", () => { root.style.colorScheme = isDark() ? "light" : "dark"; turn(); });
    prefersDark.addEventListener("change", turn);
    name();
  }

  setUpTheme();
  if (byId("trades")) setUpTrades();
  drawAll();
  if (byId("price")) setUpPrice();
})();
