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
    const text = shown.toLocaleString("en");
    if (digits.textContent !== text) digits.textContent = text;
  }
}
