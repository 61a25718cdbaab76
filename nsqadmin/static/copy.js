// Copy buttons beside commands.

export function copyButtons() {
  document.addEventListener("click", async ({ target }) => {
    const button = target.closest("[data-copy]");
    if (!button) return;
    const code = button.parentElement.querySelector("code");
    await copy(code);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // Browsers keep the clipboard from pages without https; what is selected can still be copied.
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
}
