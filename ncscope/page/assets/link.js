"use strict";
// A class chosen anywhere is chosen everywhere: in tables, maps, bars, scenes, and on its card.
(() => {
  const { figures, links, arrange, whole, picture } = window.ncscope;
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));
  const figureOf = (div) => figures[div.dataset.figure];
  const at = new Map(links.classes.map((name, place) => [name, place]));
  const card = document.getElementById("card");
  let selected = null;
  let run = 0;
  const accent = () => getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();

  // Marks in figures with a row a class: maps (both ways), bars (upright), dumbbells (lying).
  function bars(figure) {
    const place = selected === null ? -1 : figure.rows.findIndex((row) => row.includes(selected));
    if (place < 0) return [];
    const line = { type: "rect", line: { color: accent(), width: 2 }, fillcolor: "rgba(0,0,0,0)" };
    const kind = figure.data[0].type;
    const across = { ...line, xref: "paper", x0: 0, x1: 1, y0: place - 0.5, y1: place + 0.5 };
    const up = { ...line, yref: "paper", y0: 0, y1: 1, x0: place - 0.5, x1: place + 0.5 };
    if (kind === "heatmap") { // as wide as the map itself
      const last = figure.rows.length - 0.5;
      return [{ ...across, xref: "x", x0: -0.5, x1: last }, { ...up, yref: "y", y0: -0.5, y1: last }];
    }
    return [kind === "bar" ? up : across];
  }
  function mark(div) {
    const figure = figureOf(div);
    if (figure.rows) {
      figure.shapes ??= figure.layout.shapes || [];
      figure.layout.shapes = [...figure.shapes, ...bars(figure)];
      if (div.data) Plotly.relayout(div, { shapes: figure.layout.shapes });
    }
    if (figure.names) ring(div, figure);
  }

  // In scenes: rings around its text, class mean and images, a trace a form, there from the start.
  for (const figure of Object.values(figures)) {
    if (!figure.names) continue;
    figure.first = figure.data.length;
    for (const form of ["centred", "raw"]) {
      const like = figure.data.find((trace) => trace.meta === form);
      if (like) figure.data.push({
        type: "scatter3d", mode: "markers", name: "chosen", meta: form, visible: like.visible,
        x: [], y: [], z: [], hoverinfo: "skip", showlegend: false,
        marker: { size: 11, symbol: "circle-open", color: "#e0245e", line: { width: 2 } },
      });
    }
  }
  function ring(div, figure) {
    const added = figure.data.slice(figure.first);
    for (const trace of added) {
      const found = { x: [], y: [], z: [] };
      whole(figure).forEach((part, place) => {
        if (!part || figure.data[place].meta !== trace.meta) return;
        part.customdata.forEach(([index, row], point) => {
          if (row >= 0 || at.get(figure.names[index]) !== selected) return;
          if (part.x[point] === 0 && part.y[point] === 0 && part.z[point] === 0) return; // an arrow's foot
          for (const axis of "xyz") found[axis].push(part[axis][point]);
        });
      });
      Object.assign(trace, found);
    }
    if (!div.data) return;
    const pick = (axis) => added.map((trace) => trace[axis]);
    Plotly.restyle(div, { x: pick("x"), y: pick("y"), z: pick("z") }, added.map((_, i) => figure.first + i));
  }

  function inTables(scroll) {
    all("tr.chosen").forEach((row) => row.classList.remove("chosen"));
    for (const row of all(`tr[data-k="${selected}"]`)) {
      row.classList.add("chosen");
      const box = row.closest(".tall");
      if (scroll && box) box.scrollTop = row.offsetTop - box.clientHeight / 2;
    }
  }

  // The card. Everything in it is text.
  function make(tag, text, kind) {
    const part = document.createElement(tag);
    if (text !== undefined) part.textContent = text;
    if (kind) part.className = kind;
    return part;
  }
  const round = (value) => (value === null || value === undefined ? "—" : value.toFixed(3).replace("-", "−"));
  const share = (value) => (value === null || value === undefined ? "—" : `${(100 * value).toFixed(1)}\u202f%`);
  function pick(k) {
    const button = make("button", links.classes[k], "pick name");
    Object.assign(button, { type: "button" });
    button.dataset.k = k;
    return button;
  }
  function listed(title, items) {
    if (!items.length) return [];
    const list = make("ul");
    for (const [k, words] of items) {
      const item = make("li");
      item.append(pick(k), ` ${words}`);
      list.append(item);
    }
    return [make("h4", title), list];
  }
  function values() {
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const words of ["", "accuracy", "Δ LCD", "Δ MID"]) head.append(make("th", words));
    const body = table.createTBody();
    links.cards.forEach((cards, place) => {
      const own = cards[selected];
      if (!own) return;
      const row = body.insertRow();
      const name = make("th", links.runs[place], "name");
      if (links.runs.length > 1) {
        const colour = make("i", undefined, "swatch");
        colour.style.background = links.colours[place];
        name.prepend(colour);
      }
      if (place === run) row.className = "chosen";
      const [accuracy, lcd, cosine] = own.values;
      row.append(name, make("td", share(accuracy)), make("td", round(lcd)), make("td", round(cosine === null ? null : 1 - cosine)));
    });
    return table;
  }
  function worst(own) {
    const box = make("div", undefined, "worst");
    for (const [row, taken, margin] of own.worst || []) {
      const figure = make("figure");
      const found = picture(run, row);
      if (found) {
        const image = new Image();
        image.src = "data:image/jpeg;base64," + found;
        image.alt = `image ${row}`;
        figure.append(image);
      }
      const wrong = taken === selected ? "right" : `as ${links.classes[taken]}`;
      figure.append(make("figcaption", `image ${row}, ${wrong}, margin ${round(margin)}`));
      box.append(figure);
    }
    return box.children.length ? [make("h4", "Images with the least margin"), box] : [];
  }
  function show() {
    card.hidden = selected === null;
    if (card.hidden) return;
    const close = make("button", "×", "close");
    Object.assign(close, { type: "button" });
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", () => select(null));
    const own = (links.cards[run] || {})[selected];
    const parts = [close, make("h3", links.classes[selected], "name"), values()];
    if (own) {
      if (links.runs.length > 1) parts.push(make("p", `${links.runs[run]}:`, "note name"));
      parts.push(...listed("Nearest texts", (own.texts || []).map(([k, cosine]) => [k, round(cosine)])));
      const mean = own.own === undefined ? "" : ` (its own: ${round(own.own)})`;
      parts.push(...listed(`Class means nearest to its text${mean}`, (own.means || []).map(([k, cosine]) => [k, round(cosine)])));
      parts.push(...listed("Its images are taken for", (own.taken || []).map(([k, n]) => [k, `${n} of ${own.images}`])));
      parts.push(...worst(own));
    } else parts.push(make("p", "Not among the classes of the run chosen.", "note"));
    card.replaceChildren(...parts);
  }

  function select(k, from) {
    selected = k;
    inTables(!from || !from.closest("table"));
    all(".plot").forEach(mark);
    show();
  }
  window.ncscope.select = select;
  document.addEventListener("click", ({ target }) => {
    const row = target.closest && target.closest("[data-k]");
    if (row) select(Number(row.dataset.k), row);
  });
  document.addEventListener("keydown", ({ key }) => { if (key === "Escape" && selected !== null) select(null); });
  document.addEventListener("arranged", ({ detail }) => {
    run = detail;
    inTables(true);
    show();
  });
  let pressed = {};
  document.addEventListener("pointerdown", (event) => { pressed = { x: event.clientX, y: event.clientY }; }, true);
  document.addEventListener("pointerup", (event) => {
    const { x, y, k } = pressed;
    pressed = {};
    if (k !== undefined && Math.hypot(event.clientX - x, event.clientY - y) < 5) select(k);
  }, true);
  document.addEventListener("drawn", ({ target }) => {
    const figure = figureOf(target);
    if (!figure.rows && !figure.names) return;
    target.on("plotly_click", ({ points: [point] }) => {
      if (figure.names) {
        // Said again at every frame while the button is down: chosen once it is up, if nothing turned.
        pressed.k = point.customdata ? at.get(figure.names[point.customdata[0]]) : undefined;
        return;
      }
      const kind = figure.data[0].type;
      const place = kind === "heatmap" ? point.pointNumber[0] : kind === "bar" ? point.x : point.y;
      const row = figure.rows[place];
      if (row && row.length) select(row[0]);
    });
  });
  arrange();
})();
