// Lets the counter run from one sample's number to the next instead of jumping, until the next one comes.

export function counter() {
  const digits = document.querySelector("[data-counter]");
  if (!digits) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let shown = Number(digits.dataset.counter);
  let from = shown;
  let to = shown;
  let began = 0;
  let frame = 0;

  document.addEventListener("refreshed", () => {
    const next = Number(digits.dataset.counter);
    if (next === to) return show();
    // A node that restarted has taken its part away: that is told at once, not counted down to.
    from = next < shown || still.matches ? next : shown;
    to = next;
    began = performance.now();
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(step);
  });

  function step(now) {
    const part = Math.min(1, (now - began) / (Number(digits.dataset.interval) * 1000));
    shown = Math.round(from + (to - from) * part);
    show();
    if (part < 1) frame = requestAnimationFrame(step);
  }

  function show() {
    const signs = [...shown.toLocaleString("en")];
    if (signs.length !== digits.children.length) digits.replaceChildren(...signs.map(tile));
    else signs.forEach((sign, i) => turn(digits.children[i], sign, signs.slice(i + 1)));
  }

  function turn(digit, sign, below) {
    if (digit.textContent === sign) return;
    digit.textContent = sign;
    // What changes faster than the eye follows would only flicker.
    const perSecond = (to - from) / Number(digits.dataset.interval) / 10 ** below.filter((one) => one !== ",").length;
    if (perSecond < 4 && !still.matches) {
      digit.animate({ transform: ["rotateX(80deg)", "none"] }, { duration: 180, easing: "ease-out" });
    }
  }

  function tile(sign) {
    const digit = document.createElement("span");
    digit.className = sign === "," ? "comma" : "";
    digit.textContent = sign;
    return digit;
  }
}
