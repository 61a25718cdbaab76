// Search as you type: the address follows the text, so that reload, refresh and sharing keep it.

const PAUSE_MS = 150;

export function search(refresh) {
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
    timer = setTimeout(apply, PAUSE_MS, form);
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-search]")) return;
    event.preventDefault();
    clearTimeout(timer);
    apply(event.target);
  });
}
