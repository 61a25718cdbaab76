// Keeps the page current: with each sample that the server tells of, it fetches the page again and changes what
// has changed. Rests while the tab is hidden, while the visitor holds it, and on pages that ask a question.

import { morph } from "./morph.js";
import { search } from "./search.js";
import { read } from "./times.js";

const POLL_MS = 5000; // where events do not get through
const GIVE_UP_MS = 20000;

export function live() {
  const asOf = document.getElementById("as-of");
  const state = document.querySelector("[data-state]");
  const hold = document.createElement("button");
  const word = state.querySelector(".as-of-word");
  let held = false;
  let missed = false; // something came while the page rested
  let running = null;
  let shown = address();
  let source = null;
  let poll = 0;

  search(refresh);
  if (!document.body.hasAttribute("data-live")) return refresh;

  hold.type = "button";
  hold.className = "hold";
  hold.setAttribute("aria-pressed", "false");
  hold.title = "Hold the figures still (h)";
  hold.textContent = "Live";
  word.setAttribute("role", "status");
  state.append(hold);
  hold.addEventListener("click", () => {
    held = !held;
    hold.setAttribute("aria-pressed", String(held));
    hold.title = held ? "Let the figures go on (h)" : "Hold the figures still (h)";
    hold.textContent = held ? "Held" : "Live";
    if (held && running) {
      missed = true;
      drop();
    }
    wake();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect();
    else connect();
    wake();
  });
  addEventListener("popstate", () => address() === shown || location.reload());
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", ({ persisted }) => persisted && connect());
  if (!document.hidden) connect();
  return refresh;

  function connect() {
    disconnect();
    let first = true;
    source = new EventSource(state.dataset.events);
    source.addEventListener("sample", ({ data }) => {
      // The sample that the page was made of is no news; the page tells its time in whole seconds.
      const known = first && Math.floor(JSON.parse(data).at) * 1000 <= Date.parse(asOf.dateTime);
      first = false;
      if (known) tell(false);
      else news();
    });
    source.addEventListener("error", () => {
      news(); // fails too if nsqadmin is gone, and then says so
      clearInterval(poll);
      poll = setInterval(() => {
        if (source.readyState === EventSource.OPEN) clearInterval(poll);
        else news();
        if (source.readyState === EventSource.CLOSED) connect();
      }, POLL_MS);
    });
  }

  function disconnect() {
    clearInterval(poll);
    source?.close();
    source = null;
  }

  function news() {
    // Behind a dialog nothing moves; when it closes the page is asked for anyway.
    if (held || document.hidden || document.querySelector("dialog[open]")) missed = true;
    else refresh();
  }

  function wake() {
    if (!missed || held || document.hidden) return;
    refresh();
  }

  async function refresh() {
    missed = false;
    shown = address();
    drop();
    const mine = (running = new AbortController());
    const giveUp = setTimeout(() => mine.abort("late"), GIVE_UP_MS);
    try {
      const response = await fetch(location.href, { signal: mine.signal, headers: { "X-Live": "1" } });
      if (response.redirected) return location.reload(); // logged out: leads to the login, and back here
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const main = page.getElementById("main");
      const time = page.getElementById("as-of");
      if (!main || !time) throw new Error("that is not a page of nsqadmin");
      if (mine !== running) return;
      read(page);
      morph(document.getElementById("main"), main);
      document.title = page.title;
      asOf.dateTime = time.dateTime;
      asOf.textContent = time.textContent;
      asOf.title = time.title;
      document.dispatchEvent(new CustomEvent("refreshed"));
      tell(false);
    } catch {
      if (mine === running) tell(true);
    } finally {
      clearTimeout(giveUp);
      if (mine === running) running = null;
    }
  }

  // Forgets an answer that is on its way.
  function drop() {
    const asked = running;
    running = null;
    asked?.abort();
  }

  function tell(lost) {
    const text = lost ? "no answer since " : "as of ";
    state.classList.toggle("late", lost);
    if (word.textContent !== text) word.textContent = text;
  }
}

function address() {
  return location.pathname + location.search;
}
