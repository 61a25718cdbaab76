// Makes one element like another with as few changes as possible, so that focus, selection, scrolling
// and what somebody is typing survive. Children with a data-key are matched by it, others by position.

export function morph(from, to) {
  const focused = document.activeElement;
  reconcile(from, to);
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

function reconcile(from, to) {
  if (from.isEqualNode(to)) return;
  attributes(from, to);
  if (from.hasAttribute("data-keep")) return;
  const wantedKeys = new Set([...to.children].map(({ dataset }) => dataset.key));
  const keyed = new Map();
  for (const child of from.children) if (child.dataset.key !== undefined) keyed.set(child.dataset.key, child);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    // What goes, goes first: else one row less would move all those below it.
    while (at?.dataset?.key !== undefined && !wantedKeys.has(at.dataset.key)) at = removed(at);
    const key = wanted.dataset?.key;
    const match = key !== undefined ? keyed.get(key) : at && alike(at, wanted) ? at : null;
    if (!match || match.nodeName !== wanted.nodeName) {
      from.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else from.insertBefore(match, at);
    if (key !== undefined) keyed.delete(key);
    if (match.nodeType === Node.ELEMENT_NODE) reconcile(match, wanted);
    else if (match.data !== wanted.data) text(match, wanted.data);
  }
  while (at) {
    at = removed(at);
  }
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function alike(a, b) {
  return a.nodeName === b.nodeName && a.dataset?.key === undefined && a.id === b.id;
}

function attributes(from, to) {
  for (const { name } of [...from.attributes]) {
    // A disclosure that somebody opened stays open.
    if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
}

function text(node, data) {
  node.data = data;
  const cell = node.parentElement?.closest("td.num, .figures dd");
  if (!cell || cell.querySelector("time")) return;
  cell.classList.remove("changed");
  void cell.offsetWidth; // lets the animation start anew
  cell.classList.add("changed");
}
