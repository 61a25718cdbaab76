// Questions open over the page that they are about, instead of leaving it. The server's own pages are
// shown: a link marked data-dialog is fetched, its form is sent from here, and the result stays in place.

export function dialogs(refresh) {
  let dialog = null;

  document.addEventListener("click", (event) => {
    const plain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    const link = event.target.closest("a");
    if (!link || !plain) return;
    if (link.matches("[data-dialog]")) {
      event.preventDefault();
      open(link.href, link);
    } else if (dialog?.contains(link) && link.matches("[data-close]")) {
      event.preventDefault();
      dialog.close();
    }
  });

  async function open(url, opener) {
    try {
      const content = await ask(url);
      dialog = document.createElement("dialog");
      dialog.addEventListener("close", closed(dialog, opener));
      dialog.addEventListener("submit", send);
      dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
      show(content);
      document.body.append(dialog);
      dialog.showModal();
    } catch {
      location.href = url;
    }
  }

  function closed(mine, opener) {
    return () => {
      mine.remove();
      const back = mine.querySelector("[data-gone]");
      // The page behind is about what was deleted: it would only say that it is not there.
      if (back && `${location.pathname}/`.startsWith(`${back.dataset.gone}/`)) {
        location.href = back.href;
        return;
      }
      if (dialog === mine) dialog = null;
      (opener.isConnected ? opener : document.getElementById("main")).focus();
      refresh();
    };
  }

  async function send(event) {
    event.preventDefault();
    const form = event.target;
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      show(await ask(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) }));
      dialog.querySelector("[autofocus], a, button")?.focus();
    } catch {
      button.disabled = false;
      const notice = document.createElement("p");
      notice.className = "notice warn";
      notice.setAttribute("role", "alert");
      notice.textContent = "nsqadmin did not answer. The change may or may not have been made.";
      form.before(notice);
    }
  }

  async function ask(url, options) {
    const response = await fetch(url, options);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const content = page.querySelector("#main > section");
    if (!content) throw new Error("that is not a page of nsqadmin");
    return document.importNode(content, true);
  }

  function show(content) {
    dialog.replaceChildren(content);
    const heading = content.querySelector("h1");
    heading.id = "dialog-heading";
    content.removeAttribute("aria-labelledby");
    dialog.setAttribute("aria-labelledby", heading.id);
  }
}
