"use strict";
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  window.ncscope = { figures }; // scenes.js changes what is drawn of them
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));
  const CONFIG = {
    responsive: true, displaylogo: false, scrollZoom: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "resetCameraLastSave3d", "tableRotation"],
  };

  // Theme: the reader's choice, else the system's.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const store = {
    get() { try { return localStorage.getItem("ncscope-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("ncscope-theme", value); } catch { /* file:// may forbid it */ } },
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  function inks() {
    const style = getComputedStyle(root);
    const read = (name) => style.getPropertyValue(name).trim();
    return { ink: read("--soft"), line: read("--line"), panel: read("--panel"), text: read("--ink") };
  }

  // Names along an axis are left out where they would lie on top of one another.
  function crowded(div, axis) {
    const ticks = axis && axis.tickvals;
    return ticks && axis.showticklabels !== false && div.clientWidth / ticks.length < 15;
  }

  function themed(div) {
    const layout = div.layout || {};
    const { ink, line, panel, text } = inks();
    const change = {
      "font.color": ink, "hoverlabel.bgcolor": panel, "hoverlabel.bordercolor": line,
      "hoverlabel.font.color": text, "modebar.color": ink, "modebar.activecolor": text,
      "modebar.bgcolor": "rgba(0,0,0,0)",
    };
    for (const axis of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(axis)) { change[axis + ".gridcolor"] = line; change[axis + ".linecolor"] = line; }
    }
    if (crowded(div, layout.xaxis)) change["xaxis.showticklabels"] = false;
    if (layout.scene) { // in a narrow window the legend lies under the scene, not on it
      const narrow = div.clientWidth < 520;
      change["legend.orientation"] = narrow ? "h" : "v";
      change["scene.domain.y"] = narrow ? [0.16, 1] : [0, 1];
    }
    return change;
  }

  function paint(div) {
    const layout = div.layout || {};
    const scales = layout.meta;
    const data = scales && scales.light ? { colorscale: [isDark() ? scales.dark : scales.light] } : {};
    return Plotly.update(div, data, themed(div));
  }

  function setTheme(choice) {
    if (choice) root.dataset.theme = choice;
    const other = isDark() ? "light" : "dark";
    button.textContent = other[0].toUpperCase() + other.slice(1);
    button.setAttribute("aria-label", `Switch to the ${other} theme`);
    all(".plot.js-plotly-plot").forEach(paint);
  }
  button.addEventListener("click", () => {
    const choice = isDark() ? "light" : "dark";
    store.set(choice);
    setTheme(choice);
  });
  system.addEventListener("change", () => setTheme());
  setTheme(store.get());

  // Raw and centred: one choice a section.
  function visible(section, trace) {
    return !trace.meta || !section.dataset.form || trace.meta === section.dataset.form;
  }
  function choose(section, form) {
    section.dataset.form = form;
    all(".forms button", section).forEach((b) => b.setAttribute("aria-pressed", String(b.value === form)));
    all(".plot", section).forEach((div) => {
      figures[div.dataset.figure].data.forEach((trace) => { trace.visible = visible(section, trace); });
      const { layout } = figures[div.dataset.figure];
      const ranges = (layout.meta.layouts || {})[form] || {};
      for (const [path, range] of Object.entries(ranges)) layout.scene[path.split(".")[1]].range = range;
      if (div.data) Plotly.update(div, { visible: div.data.map((trace) => visible(section, trace)) }, ranges);
    });
  }
  all("section[id]").forEach((section) => {
    const forms = section.querySelector(".forms");
    const traces = all(".plot", section).flatMap((div) => figures[div.dataset.figure].data);
    if (!forms || !traces.some((t) => t.meta === "raw") || !traces.some((t) => t.meta === "centred")) return;
    for (const form of ["centred", "raw"]) {
      const b = document.createElement("button");
      Object.assign(b, { type: "button", value: form, textContent: form[0].toUpperCase() + form.slice(1) });
      b.addEventListener("click", () => choose(section, form));
      forms.append(b);
    }
    forms.hidden = false;
    choose(section, "centred");
  });

  // Figures are drawn when they come near the window. A browser has few WebGL contexts, so scenes
  // far away are let go of again; their camera is kept.
  async function draw(div) {
    if (div.dataset.state) return;
    div.dataset.state = "drawn";
    const { data, layout } = figures[div.dataset.figure]; // frames are motion.js's
    await Plotly.newPlot(div, data, layout, CONFIG);
    await paint(div);
    div.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
  }
  function release(div) {
    const camera = div.layout && div.layout.scene && div.layout.scene.camera;
    if (!camera) return;
    figures[div.dataset.figure].layout.scene.camera = camera;
    Plotly.purge(div);
    delete div.dataset.state;
  }
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) draw(entry.target);
      else if (entry.target.dataset.state) release(entry.target);
    }
  }, { rootMargin: "600px 0px" });
  all(".plot").forEach((div) => watcher.observe(div));
  let chosen; // on paper the light theme, whatever the screen has
  addEventListener("beforeprint", () => {
    all(".plot").forEach(draw);
    chosen = root.dataset.theme;
    setTheme("light");
  });
  addEventListener("afterprint", () => {
    if (chosen) setTheme(chosen);
    else { delete root.dataset.theme; setTheme(); }
  });

  // Class tables: sort by a column, find by name, choose the run.
  function value(row, column) {
    const cell = row.cells[column];
    if (cell.classList.contains("none")) return null;
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  }
  const words = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  function sort(table, column, down) {
    const rows = all("tbody tr", table).map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // no value: always last
      const order = typeof a === "string" ? words.compare(a, b) : a - b;
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
    all("thead th", table).forEach((th, place) =>
      th.setAttribute("aria-sort", place !== column ? "none" : down ? "descending" : "ascending"));
  }
  all(".class-table table").forEach((table) => {
    all("thead th", table).forEach((th, column) => {
      th.querySelector("button").addEventListener("click", () => {
        const first = th.classList.contains("words") ? "ascending" : "descending";
        const now = th.getAttribute("aria-sort");
        sort(table, column, now === "none" ? first === "descending" : now === "ascending");
      });
    });
  });
  const find = document.querySelector(".find");
  const found = document.querySelector(".found");
  const choice = document.querySelector(".run-choice");
  function filter() {
    const wanted = find.value.trim().toLowerCase();
    for (const box of all(".class-table")) {
      if (choice) box.hidden = box.dataset.run !== choice.value;
      let hits = 0;
      const rows = all("tbody tr", box);
      for (const row of rows) {
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
        hits += !row.hidden;
      }
      if (!box.hidden) found.textContent = wanted ? `${hits} of ${rows.length} classes` : "";
    }
  }
  if (find) find.addEventListener("input", filter);
  if (choice) choice.addEventListener("change", filter);
})();
