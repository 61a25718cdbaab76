// Keeps the page current: fetches it again every few seconds and changes what has changed. Rests while
// the tab is hidden, while the visitor holds it, and on pages that ask a question.

import { morph } from "./morph.js";

const INTERVAL_MS = 3000;
const GIVE_UP_MS = 20000;

export function live() {
  const asOf = document.getElementById("as-of");
  const state = document.querySelector("[data-state]");
  const hold = document.createElement("button");
  const late = document.createElement("span");
  let held = false;
  let timer = 0;
  let running = null;

  localTime(asOf);
  search(() => refresh());
  if (!document.body.hasAttribute("data-live")) return refresh;

  hold.type = "button";
  hold.className = "hold";
  hold.setAttribute("aria-pressed", "false");
  hold.title = "Hold the figures still";
  hold.textContent = "Live";
  late.className = "late-text";
  late.setAttribute("role", "status");
  state.append(late, hold);
  hold.addEventListener("click", () => {
    held = !held;
    hold.setAttribute("aria-pressed", String(held));
    hold.title = held ? "Let the figures go on" : "Hold the figures still";
    hold.textContent = held ? "Held" : "Live";
    schedule(held ? null : 0);
  });
  document.addEventListener("visibilitychange", () => schedule(document.hidden ? null : 0));
  addEventListener("popstate", () => location.reload());
  schedule(INTERVAL_MS);
  return refresh;

  function schedule(delay) {
    clearTimeout(timer);
    if (delay !== null && !held && !document.hidden) timer = setTimeout(refresh, delay);
  }

  async function refresh() {
    running?.abort();
    const mine = (running = new AbortController());
    const giveUp = setTimeout(() => mine.abort("late"), GIVE_UP_MS);
    clearTimeout(timer);
    try {
      const response = await fetch(location.href, { signal: mine.signal });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const main = page.getElementById("main");
      const time = page.getElementById("as-of");
      if (!main || !time) throw new Error("that is not a page of nsqadmin");
      morph(document.getElementById("main"), main);
      document.title = page.title;
      asOf.dateTime = time.dateTime;
      localTime(asOf);
      tell("");
    } catch {
      if (mine !== running) return; // a newer refresh has taken over
      tell("no answer since");
    } finally {
      clearTimeout(giveUp);
    }
    if (mine === running) schedule(INTERVAL_MS);
  }

  function tell(text) {
    hold.classList.toggle("late", text !== "");
    if (late.textContent !== text) late.textContent = text;
  }
}

function localTime(element) {
  const time = new Date(element.dateTime);
  element.textContent = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  element.title = time.toLocaleString();
}

// Search as you type: the address follows the text, so that reload, refresh and sharing keep it.
function search(refresh) {
  let timer = 0;
  const apply = (form) => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim() !== ""));
    history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
    refresh();
  };
  document.addEventListener("input", ({ target }) => {
    const form = target.closest("form[data-search]");
    if (!form) return;
    clearTimeout(timer);
    timer = setTimeout(apply, 150, form);
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-search]")) return;
    event.preventDefault();
    clearTimeout(timer);
    apply(event.target);
  });
}
