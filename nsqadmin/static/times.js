// Times as the visitor's clock shows them. They come as UTC and as of the page, for those who read without scripts.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];

let drawn = performance.now(); // when the ages on the page were right

export function times() {
  read(document);
  setInterval(() => document.hidden || grow(document), 1000);
}

// For a page that was just fetched.
export function read(page) {
  drawn = performance.now();
  for (const element of page.querySelectorAll("time[data-clock], time[data-age]")) {
    const time = new Date(element.dateTime);
    if (Number.isNaN(time.getTime())) continue;
    const exact = time.toLocaleString();
    element.title = element.dataset.words ? `${element.dataset.words} ${exact}` : exact;
    if (element.dataset.clock === undefined) continue;
    const seconds = element.hasAttribute("data-seconds") ? { second: "2-digit" } : {};
    element.textContent = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...seconds });
  }
}

// How long something lasts is counted on here, whatever the visitor's clock says.
function grow(page) {
  const since = (performance.now() - drawn) / 1000;
  for (const element of page.querySelectorAll("time[data-age]")) {
    const words = span(Number(element.dataset.age) + since);
    if (element.textContent !== words) element.textContent = words;
  }
}

function span(seconds) {
  let rest = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [size, unit] of UNITS) {
    if (rest < size) continue;
    parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  if (parts.length < 2 && (rest || !parts.length)) parts.push(`${rest} s`);
  return parts.slice(0, 2).join(" ");
}
