// The theme that was chosen here before, set before anything is drawn. No module: those wait for the page.
try {
  const theme = localStorage.getItem("nsqadmin.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing shows the system's theme.
}
