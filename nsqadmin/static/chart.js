// Exact values under the pointer: a line across the plot and the values beside the legend.

export function charts() {
  document.addEventListener("pointermove", ({ target, clientX }) => {
    const plot = target.closest?.("[data-chart] .plot");
    if (plot) show(plot, clientX);
    else clear();
  });
  document.addEventListener("pointerleave", clear);
  document.addEventListener("refreshed", clear);
}

let shown = null;

function show(plot, clientX) {
  const chart = plot.closest("[data-chart]");
  const svg = plot.querySelector("svg");
  const lines = [...svg.querySelectorAll("[data-values]")].map((line) => ({
    label: line.dataset.label,
    values: JSON.parse(line.dataset.values),
  }));
  if (!lines.length) return;
  const box = svg.getBoundingClientRect();
  const count = lines[0].values.length;
  const at = Math.round(((clientX - box.left) / box.width) * (count - 1));
  if (at < 0 || at >= count) return clear();
  if (shown && shown.chart !== chart) clear();
  const x = count > 1 ? (at / (count - 1)) * svg.viewBox.baseVal.width : 0;
  let cross = svg.querySelector(".cross");
  if (!cross) {
    cross = document.createElementNS("http://www.w3.org/2000/svg", "path");
    cross.setAttribute("class", "cross");
    cross.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(cross);
  }
  cross.setAttribute("d", `M${x} 0V${svg.viewBox.baseVal.height}`);
  const { end, step, unit } = chart.dataset;
  const time = new Date((Number(end) - (count - 1 - at) * Number(step)) * 1000);
  const texts = lines.map(({ label, values }) => `${label} ${values[at] === null ? "–" : words(values[at], unit)}`);
  let note = chart.querySelector(".under");
  if (!note) {
    note = document.createElement("p");
    note.className = "under";
    note.setAttribute("aria-hidden", "true");
    chart.append(note);
  }
  note.textContent = `${time.toLocaleTimeString([], { hourCycle: "h23" })}: ${texts.join(", ")}`;
  shown = { chart, cross, note };
}

function clear() {
  shown?.cross.remove();
  shown?.note.remove();
  shown = null;
}

function words(value, unit) {
  if (unit === "ns") {
    for (const [size, name] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]])
      if (value >= size) return `${Number((value / size).toPrecision(3))} ${name}`;
    return value ? `${Math.round(value)} ns` : "0";
  }
  const text = value >= 100 || unit === "count" ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
  return unit === "rate" ? `${text}/s` : text;
}
