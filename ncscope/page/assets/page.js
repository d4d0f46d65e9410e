"use strict";
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const links = JSON.parse(document.getElementById("links").textContent);
  window.ncscope = { figures, links }; // scenes.js changes what is drawn of them
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));
  const CONFIG = {
    responsive: true, displaylogo: false, scrollZoom: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "resetCameraLastSave3d", "tableRotation", "toImage"],
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
    all(".plot").filter((div) => div.data).forEach(paint); // a scene let go of has none
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
  // One run is chosen for all figures and tables of single runs, and one tab a section.
  const choice = document.querySelector(".run-choice");
  function arrange() {
    const run = choice ? choice.value : "0";
    for (const part of all("[data-run], figure[data-tab]")) {
      const { tab } = part.closest("section").dataset;
      const other = part.dataset.run !== undefined && part.dataset.run !== run;
      part.hidden = other || (part.dataset.tab !== undefined && part.dataset.tab !== tab);
      const div = part.querySelector(".plot");
      const stale = div && div.data && !part.hidden && Math.abs(div.clientWidth - div._fullLayout.width) > 1;
      if (stale) Plotly.Plots.resize(div); // the window changed while it was hidden
    }
    for (const box of all("section .plots")) {
      box.classList.toggle("empty", !all("figure", box).some((figure) => !figure.hidden));
    }
    all(".chosen-name").forEach((part) => { part.textContent = links.runs[run]; });
    document.dispatchEvent(new CustomEvent("arranged", { detail: Number(run) }));
  }
  all("section[id]").forEach((section) => {
    const box = section.querySelector(".tabs");
    const tabs = [...new Set(all("figure[data-tab]", section).map((figure) => figure.dataset.tab))];
    if (!box || !tabs.length) return;
    section.dataset.tab = tabs[0];
    for (const tab of tabs.length > 1 ? tabs : []) {
      const b = document.createElement("button");
      Object.assign(b, { type: "button", value: tab, textContent: tab });
      b.setAttribute("aria-pressed", String(tab === tabs[0]));
      b.addEventListener("click", () => {
        section.dataset.tab = tab;
        all("button", box).forEach((other) => other.setAttribute("aria-pressed", String(other === b)));
        arrange();
      });
      box.append(b);
    }
    box.hidden = tabs.length < 2;
  });
  if (choice) choice.addEventListener("change", arrange);
  window.ncscope.arrange = arrange; // called once all scripts are there

  let chosen; // on paper the light theme, whatever the screen has
  addEventListener("beforeprint", () => {
    all(".plot").filter((div) => !div.closest("[hidden]")).forEach(draw);
    all("details").forEach((part) => { part.open = true; });
    chosen = root.dataset.theme;
    setTheme("light");
  });
  addEventListener("afterprint", () => {
    if (chosen) setTheme(chosen);
    else { delete root.dataset.theme; setTheme(); }
  });

  // Figures as files, on the page's ground and with their title.
  function save(name, address) {
    const link = document.createElement("a");
    Object.assign(link, { download: name, href: address });
    link.click();
  }
  const plain = (text) => text.trim().replace(/[^\p{L}\p{N}.+-]+/gu, "-").slice(0, 80) || "figure";
  window.ncscope.save = save;
  window.ncscope.plain = plain;
  document.addEventListener("click", async (event) => {
    const kind = event.target.dataset && event.target.dataset.as;
    if (!kind) return;
    const figure = event.target.closest("figure");
    const div = figure.querySelector(".plot");
    await draw(div);
    const head = figure.querySelector("h3");
    const title = Array.from(head.childNodes, (node) => node.textContent).join(" – ");
    const safe = title.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
    const layout = {
      ...div.layout, paper_bgcolor: getComputedStyle(document.body).backgroundColor,
      title: { text: safe, font: { size: 15 }, x: 0.02, xanchor: "left", y: 1, yanchor: "top", pad: { t: 14 } },
      margin: { ...div.layout.margin, t: 56 },
    };
    const { clientWidth: width, clientHeight: height } = div;
    const address = await Plotly.toImage({ data: div.data, layout, config: CONFIG },
      { format: kind, width, height: height + 48, scale: kind === "png" ? 2 : 1 });
    save(`${plain(title)}.${kind}`, address);
  });
})();
