// The focus is never lost: when what had it goes (a row that ended, a button that no longer applies), the page's
// heading has it, and the next Tab goes on from there and not from the top of the browser.

export function keepFocus(root) {
  let last = null;
  root.addEventListener("focusin", (event) => (last = event.target));
  const look = () => {
    if (last === null || last.isConnected || document.activeElement !== document.body) return;
    last = null;
    document.querySelector("h1")?.focus({ preventScroll: true });
  };
  new MutationObserver(look).observe(root, { childList: true, subtree: true });
}
