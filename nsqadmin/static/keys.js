// The pages by keyboard: "/" searches, "g" and a letter goes to a page, "h" holds the figures, "?" tells of these.

const PATIENCE_MS = 1500; // between "g" and its letter

export function keys(place) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tool keys";
  button.textContent = "?";
  button.title = "Keyboard shortcuts";
  button.setAttribute("aria-label", "Keyboard shortcuts");
  button.addEventListener("click", help);
  place.append(button);

  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable], dialog")) return;
    const after = event.timeStamp - going < PATIENCE_MS;
    going = 0;
    if (after) {
      const link = pages().find(({ dataset }) => dataset.go === event.key.toLowerCase());
      if (link) return act(event, () => link.click());
    }
    if (event.key === "g") going = event.timeStamp;
    else if (event.key === "/") act(event, search);
    else if (event.key === "?") act(event, help);
    else if (event.key === "h") act(event, () => document.querySelector("button.hold")?.click());
  });
  if (location.hash === "#q") document.getElementById("q")?.focus();
}

function act(event, what) {
  event.preventDefault();
  what();
}

function pages() {
  return [...document.querySelectorAll("a[data-go]")];
}

function search() {
  const field = document.querySelector("#main input[type=search]");
  if (field) {
    field.focus();
    field.select();
    return;
  }
  const topics = pages().find(({ dataset }) => dataset.go === "t");
  if (topics) location.href = `${topics.href}#q`;
}

function help() {
  const before = document.activeElement;
  const dialog = document.createElement("dialog");
  dialog.className = "help";
  dialog.setAttribute("aria-labelledby", "keys");
  const section = add(dialog, "section", "");
  section.className = "ask";
  add(section, "h1", "Keyboard").id = "keys";
  const list = add(section, "dl", "");
  for (const link of pages()) shortcut(list, ["g", link.dataset.go], link.textContent.trim());
  shortcut(list, ["/"], "Search");
  shortcut(list, ["h"], "Hold the figures still, or let them go on");
  shortcut(list, ["Esc"], "Close what is open");
  shortcut(list, ["?"], "This list");
  const choice = add(section, "p", "");
  choice.className = "choice";
  const close = add(choice, "button", "Close");
  close.type = "button";
  close.className = "primary";
  close.autofocus = true;
  dialog.addEventListener("click", ({ target }) => (target === dialog || target === close) && dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus?.();
  });
  document.body.append(dialog);
  dialog.showModal();
}

function shortcut(list, pressed, words) {
  const row = add(list, "div", "");
  const term = add(row, "dt", "");
  for (const key of pressed) add(term, "kbd", key);
  add(row, "dd", words);
}

function add(parent, name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  parent.append(element);
  return element;
}
