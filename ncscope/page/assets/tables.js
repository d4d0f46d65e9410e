"use strict";
// Tables: one of several runs at a time, sorted by a column, searched by name, saved as CSV.
(() => {
  const { links, save, plain } = window.ncscope;
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));

  // The class table of the run chosen is in the document; the others are kept as text or aside.
  const box = document.querySelector(".class-tables");
  const tables = new Map(); // run: its table
  let run = 0;
  all(".class-table", box).forEach((table) => { run = Number(table.dataset.run); tables.set(run, table); });
  const texts = new Map(all("noscript", box).map((part) => [Number(part.dataset.table), part.textContent]));
  function tableOf(place) {
    if (!tables.has(place)) {
      const made = document.createElement("template");
      made.innerHTML = texts.get(place); // the page's own HTML, its names escaped as all are
      const table = made.content.querySelector(".class-table");
      tables.set(place, document.importNode(table, true));
    }
    return tables.get(place);
  }
  document.addEventListener("arranged", ({ detail }) => {
    if (detail === run || (!tables.has(detail) && !texts.has(detail))) return;
    const next = tableOf(detail);
    next.hidden = false;
    tables.get(run).replaceWith(next);
    run = detail;
    filter();
  });

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
  box.addEventListener("click", ({ target }) => {
    const th = target.closest("thead th");
    if (!th) return;
    const first = th.classList.contains("words") ? "ascending" : "descending";
    const now = th.getAttribute("aria-sort");
    sort(th.closest("table"), th.cellIndex, now === "none" ? first === "descending" : now === "ascending");
  });

  const find = document.querySelector(".find");
  function filter() {
    const wanted = find.value.trim().toLowerCase();
    const rows = all("tbody tr", box);
    let hits = 0;
    for (const row of rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      hits += !row.hidden;
    }
    find.closest(".tools").querySelector(".found").textContent = wanted ? `${hits} of ${rows.length} classes` : "";
  }
  find.addEventListener("input", filter);
  find.addEventListener("keydown", (event) => {
    const first = all("tbody tr:not([hidden]) .pick", box)[0];
    if (event.key === "Enter" && first) first.click();
  });

  // Written by the one writer of CSV beforehand: numbers in full, no name a formula.
  document.addEventListener("click", ({ target }) => {
    let name = target.dataset && target.dataset.csv;
    if (!name) return;
    if (target.dataset.chosen !== undefined) name += `-${run + 1}`;
    const blob = new Blob([links.tables[name]], { type: "text/csv" });
    const address = URL.createObjectURL(blob);
    save(`${plain(name)}.csv`, address);
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  });
})();
