// On the map: what flows into and out of the box under the pointer, or the one that has the focus, stands out.

export function maps() {
  let traced = null;

  document.addEventListener("pointerover", ({ target }) => look(target));
  document.addEventListener("focusin", ({ target }) => look(target));
  document.addEventListener("focusout", () => trace(null));
  // A new sample has drawn it anew.
  document.addEventListener("refreshed", () => trace(traced));

  function look(target) {
    const box = target.closest?.("[data-box]");
    if (box || traced) trace(box ? box.dataset.box : null);
  }

  function trace(name) {
    traced = name;
    const map = document.querySelector("[data-map]");
    if (!map) return;
    for (const one of map.querySelectorAll(".on")) one.classList.remove("on");
    map.classList.toggle("tracing", name !== null);
    if (name === null) return;
    const bands = [...map.querySelectorAll("[data-from]")];
    const boxes = new Set([name]);
    follow(bands, boxes, name, "from", "to");
    follow(bands, boxes, name, "to", "from");
    for (const box of map.querySelectorAll("[data-box]")) box.classList.toggle("on", boxes.has(box.dataset.box));
  }
}

// Marks the bands that lead on from a box, and those that lead on from there.
function follow(bands, boxes, start, near, far) {
  const open = [start];
  const seen = new Set(open);
  while (open.length) {
    const name = open.pop();
    for (const band of bands) {
      if (band.dataset[near] !== name) continue;
      band.classList.add("on");
      const next = band.dataset[far];
      boxes.add(next);
      if (!seen.has(next)) {
        seen.add(next);
        open.push(next);
      }
    }
  }
}
