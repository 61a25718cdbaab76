// A switch between the system's colours, light and dark. The choice is kept in this browser; early.js applies it.

import { icon } from "./icon.js";

const KEY = "nsqadmin.theme";
const THEMES = {
  system: ["follows the system", "M10 2.5a7.5 7.5 0 1 0 0 15zM10 2.5a7.5 7.5 0 0 1 0 15"],
  light: ["light", "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 1 0 0-7zM10 1.5v2M10 16.5v2M1.5 10h2M16.5 10h2M4 4l1.4 1.4M14.6 14.6 16 16M16 4l-1.4 1.4M5.4 14.6 4 16"],
  dark: ["dark", "M16.5 12.2A7 7 0 0 1 7.8 3.5a7 7 0 1 0 8.7 8.7z"],
};

export function themeSwitch(place) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tool";
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    choose(names[(names.indexOf(chosen()) + 1) % names.length]);
    show(button);
  });
  addEventListener("storage", ({ key, newValue }) => {
    if (key !== KEY) return;
    choose(newValue ?? "system", false);
    show(button);
  });
  show(button);
  place.append(button);
}

function chosen() {
  return document.documentElement.dataset.theme ?? "system";
}

function choose(theme, keep = true) {
  if (theme in THEMES && theme !== "system") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  if (!keep) return;
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // It lasts as long as the page then.
  }
}

function show(button) {
  const [words, path] = THEMES[chosen()];
  button.setAttribute("aria-label", `Colours: ${words}`);
  button.title = `Colours: ${words}`;
  button.dataset.shown = chosen();
  button.replaceChildren(icon(path));
}
