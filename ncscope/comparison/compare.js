"use strict";
// The page of compare: the reader's theme, tables sorted by a column, tables and figures saved.
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));

  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  function setTheme(choice) {
    if (choice) root.dataset.theme = choice;
    const other = isDark() ? "light" : "dark";
    button.textContent = other[0].toUpperCase() + other.slice(1);
    button.setAttribute("aria-label", `Switch to the ${other} theme`);
  }
  button.addEventListener("click", () => {
    const choice = isDark() ? "light" : "dark";
    try { localStorage.setItem("ncscope-theme", choice); } catch { /* file:// may forbid it */ }
    setTheme(choice);
  });
  system.addEventListener("change", () => setTheme());
  let kept = null;
  try { kept = localStorage.getItem("ncscope-theme"); } catch { /* file:// may forbid it */ }
  setTheme(kept);

  function value(row, column) {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    return cell.textContent === "–" ? null : cell.textContent;
  }
  const words = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  function sort(th) {
    const down = th.getAttribute("aria-sort") !== "descending";
    const body = th.closest("table").tBodies[0];
    const rows = all("tr", body).map((row) => [value(row, th.cellIndex), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // no value: always last
      const order = typeof a === "number" && typeof b === "number" ? a - b : words.compare(a, b);
      return down ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
    all("th", th.parentElement).forEach((other) => other.removeAttribute("aria-sort"));
    th.setAttribute("aria-sort", down ? "descending" : "ascending");
  }
  for (const th of all(".wide:not(.still) thead th")) {
    th.tabIndex = 0;
    th.addEventListener("click", () => sort(th));
    th.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(th); });
  }

  function save(name, text, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name.replace(/[^\p{L}\p{N}.=_-]+/gu, "-").slice(0, 120);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  // Written by the one writer of CSV beforehand: numbers in full, no name a formula.
  const tables = JSON.parse(document.getElementById("tables").textContent);
  for (const get of all("[data-csv]")) {
    const { title, csv } = tables[Number(get.dataset.csv)];
    get.addEventListener("click", () => save(`${title}.csv`, csv, "text/csv"));
  }
  for (const figure of all("figure")) {
    all("svg", figure).forEach((svg, place) => {
      const get = document.createElement("button");
      get.type = "button";
      get.textContent = "SVG";
      get.addEventListener("click", () => save(`${svg.getAttribute("aria-label") || "figure"}.svg`, alone(svg), "image/svg+xml"));
      const box = figure.querySelector("figcaption .get") || document.createElement("span");
      box.className = "get";
      box.append(get);
      if (!place) figure.querySelector("figcaption").append(" ", box);
    });
  }
  // What the page's styles say of it goes with a figure that leaves the page.
  function alone(svg) {
    const copy = svg.cloneNode(true);
    const own = all("*", svg);
    all("*", copy).forEach((part, place) => {
      const style = getComputedStyle(own[place]);
      for (const name of ["fill", "stroke", "font-size", "font-family"]) part.style.setProperty(name, style.getPropertyValue(name));
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    return new XMLSerializer().serializeToString(copy);
  }
})();
