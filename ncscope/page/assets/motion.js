"use strict";
// The slider through a training run: moves the points of a scene, and says what the step shows.
(() => {
  const { figures } = window.ncscope;
  for (const box of document.querySelectorAll(".steps")) {
    const div = box.parentElement.querySelector(".plot");
    const figure = figures[div.dataset.figure];
    const slider = box.querySelector("input");
    const play = box.querySelector("button");
    const said = box.parentElement.querySelector(".said");
    let timer = 0;

    function show(place) {
      const parts = figure.frames[place].data;
      for (const [trace, { x, y, z }] of parts.entries()) Object.assign(figure.data[trace], { x, y, z });
      if (div.data) {
        const pick = (axis) => parts.map((part) => part[axis]);
        Plotly.restyle(div, { x: pick("x"), y: pick("y"), z: pick("z") }, [...parts.keys()]);
      }
      said.textContent = figure.layout.meta.steps[place];
      slider.setAttribute("aria-valuetext", said.textContent);
    }
    function stop() {
      clearInterval(timer);
      timer = 0;
      play.textContent = "▶";
      play.setAttribute("aria-label", "Play");
    }
    function step() {
      if (Number(slider.value) >= Number(slider.max)) return stop();
      slider.value = Number(slider.value) + 1;
      show(Number(slider.value));
    }
    slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
    play.addEventListener("click", () => {
      if (timer) return stop();
      if (slider.value === slider.max) { slider.value = 0; show(0); }
      timer = setInterval(step, 250);
      play.textContent = "❚❚";
      play.setAttribute("aria-label", "Pause");
    });
  }
})();
