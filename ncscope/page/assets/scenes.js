"use strict";
// The simplex views: one camera for views of the same classes, pictures of images, class filter.
(() => {
  const { figures } = window.ncscope;
  const scenes = Array.from(document.querySelectorAll(".scene .plot"));
  const figureOf = (div) => figures[div.dataset.figure];

  // Views with the same title turn together. Those not drawn get the camera for later.
  const titleOf = (div) => div.closest("figure").querySelector("h3").lastChild.textContent;
  // A view that is made to follow reports its own turn a moment later: not to be followed in turn,
  // or the two would hold each other back.
  const led = new Map(); // view: turns under way
  let waiting = null;
  function follow(from, camera) {
    for (const div of scenes) {
      if (div === from || titleOf(div) !== titleOf(from)) continue;
      figureOf(div).layout.scene.camera = camera;
      if (!div.data) continue;
      led.set(div, (led.get(div) ?? 0) + 1);
      Plotly.relayout(div, { "scene.camera": camera }).finally(() => led.set(div, led.get(div) - 1));
    }
  }
  function turned(div, change) {
    const camera = change["scene.camera"];
    if (!camera || led.get(div)) return;
    const idle = waiting === null;
    waiting = [div, structuredClone(camera)];
    if (idle) requestAnimationFrame(() => {
      const last = waiting;
      waiting = null;
      follow(...last);
    });
  }

  // Once the button is up all views of the same classes stand alike, whatever came late on the way.
  let held = null;
  document.addEventListener("pointerdown", ({ target }) => { held = scenes.find((div) => div.contains(target)); }, true);
  document.addEventListener("pointerup", () => {
    const div = held;
    held = null;
    if (div) setTimeout(() => { if (div.data) follow(div, structuredClone(div.layout.scene.camera)); }, 300);
  }, true);

  // By keyboard: arrows turn a view, + and - bring it nearer or take it away.
  const KEYS = { ArrowLeft: [-1, 0, 1], ArrowRight: [1, 0, 1], ArrowUp: [0, 1, 1], ArrowDown: [0, -1, 1], "+": [0, 0, 0.9], "-": [0, 0, 1 / 0.9] };
  function turnedEye({ x, y, z }, [around, up, nearer]) {
    const far = Math.hypot(x, y, z) * nearer;
    const angle = Math.atan2(y, x) + (around * Math.PI) / 18;
    const height = Math.min(1.5, Math.max(-1.5, Math.asin(z / Math.hypot(x, y, z)) + (up * Math.PI) / 18));
    const flat = far * Math.cos(height);
    return { x: flat * Math.cos(angle), y: flat * Math.sin(angle), z: far * Math.sin(height) };
  }
  for (const div of scenes) {
    div.tabIndex = 0;
    div.setAttribute("aria-keyshortcuts", Object.keys(KEYS).map((key) => (key === "+" ? "Plus" : key)).join(" "));
    div.addEventListener("keydown", (event) => {
      const turn = KEYS[event.key];
      if (!turn || !div.data || event.target !== div) return;
      event.preventDefault();
      const camera = structuredClone(div.layout.scene.camera);
      camera.eye = turnedEye(camera.eye, turn);
      camera.up = { x: 0, y: 0, z: 1 };
      Plotly.relayout(div, { "scene.camera": camera });
    });
  }

  // The picture of the image pointed at. Only our own base64 gets into its address.
  const look = document.getElementById("look");
  let pictures = null;
  let pointer = { x: 0, y: 0 };
  document.addEventListener("pointermove", (event) => { pointer = { x: event.clientX, y: event.clientY }; });
  function picture(run, row) {
    pictures ??= JSON.parse(document.getElementById("pictures").textContent);
    return pictures.pictures[(pictures.rows[run] || {})[row]];
  }
  function show(div, point) {
    const found = figureOf(div).names && point.customdata && point.customdata[1] >= 0 && picture(figureOf(div).run, point.customdata[1]);
    look.hidden = !found;
    if (!found) return;
    const image = look.firstElementChild || look.appendChild(new Image());
    image.src = "data:image/jpeg;base64," + found;
    image.alt = `image ${point.customdata[1]} of ${figureOf(div).names[point.customdata[0]]}`;
    const below = pointer.y + 130 < innerHeight;
    look.style.left = `${Math.min(Math.max(pointer.x - 49, 4), innerWidth - 104)}px`;
    look.style.top = `${below ? pointer.y + 22 : pointer.y - 122}px`;
  }

  // Only the classes whose names hold one of the words typed.
  const KINDS = { f4: Float32Array, f8: Float64Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array };
  function plain(value) {
    if (!value || !value.bdata) return value;
    const bytes = Uint8Array.from(atob(value.bdata), (letter) => letter.charCodeAt(0));
    return new KINDS[value.dtype](bytes.buffer);
  }
  const PARTS = ["x", "y", "z", "text", "customdata"];
  function whole(figure) {
    figure.whole ??= figure.data.map((trace) => trace.customdata && {
      ...Object.fromEntries(PARTS.map((part) => [part, Array.from(plain(trace[part]))])),
      color: trace.marker && plain(trace.marker.color), size: trace.marker && plain(trace.marker.size),
    });
    return figure.whole;
  }
  function pick(trace, whole, wanted) {
    const kept = whole.customdata.flatMap(([index], place) => (wanted.has(index) ? [place] : []));
    const choose = (value) => (value && typeof value === "object" ? kept.map((place) => value[place]) : value);
    for (const part of PARTS) trace[part] = choose(whole[part]);
    if (trace.marker) Object.assign(trace.marker, { color: choose(whole.color), size: choose(whole.size) });
  }
  function filter(text) {
    const words = text.toLowerCase().split(",").map((word) => word.trim()).filter(Boolean);
    const hits = new Set();
    for (const div of scenes.filter((scene) => figureOf(scene).names)) {
      const figure = figureOf(div);
      const named = Object.entries(figure.names).filter(([, name]) =>
        !words.length || words.some((word) => name.toLowerCase().includes(word)));
      const wanted = new Set(named.map(([index]) => Number(index)));
      named.forEach(([, name]) => hits.add(name));
      const parts = whole(figure);
      figure.data.forEach((trace, place) => { if (parts[place]) pick(trace, parts[place], wanted); });
      if (div.data) Plotly.react(div, figure.data, div.layout);
    }
    document.getElementById("only-found").textContent = words.length ? `${hits.size} classes shown` : "";
  }
  const only = document.getElementById("only");
  let timer = 0;
  only.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => filter(only.value), 150);
  });

  Object.assign(window.ncscope, { whole, picture }); // for link.js
  document.addEventListener("drawn", ({ target }) => {
    if (!scenes.includes(target)) return;
    target.on("plotly_relayouting", (change) => turned(target, change));
    target.on("plotly_relayout", (change) => turned(target, change));
    target.on("plotly_hover", ({ points }) => show(target, points[0]));
    target.on("plotly_unhover", () => { look.hidden = true; });
    target.addEventListener("pointerleave", () => { look.hidden = true; });
  });
})();
