// Before the first paint, so that a page that was made dark by hand does not flash white.
try {
  const theme = localStorage.getItem("lathe.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // storage is switched off: the system's theme it is
}
