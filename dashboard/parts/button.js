// Things to press. What takes time says so, cannot be pressed twice, and says in words when it is refused.

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { say } from "../lib/store.js";
import { Icon } from "./icon.js";
import { tell } from "./toasts.js";

// `onPress` may return a promise. `onRefused` gets a refusal in place of the corner of the screen.
export function Button({ icon, label, kind = "", onPress, onRefused = tell, disabled = false, children, ...rest }) {
  const [busy, setBusy] = useState(false);
  const press = async (event) => {
    if (busy) return;
    const work = onPress(event);
    if (!(work instanceof Promise)) return;
    setBusy(true);
    try {
      await work;
    } catch (refusal) {
      onRefused(refusal);
    } finally {
      setBusy(false);
    }
  };
  return html`<button type="button" class="button ${kind}" onClick=${press} disabled=${disabled} aria-busy=${busy}
    aria-label=${label} title=${label} ...${rest}>${icon && html`<${Icon} name=${icon} />`}${children}</button>`;
}

export const LinkButton = ({ icon, kind = "", children, ...rest }) =>
  html`<a class="button ${kind}" ...${rest}>${icon && html`<${Icon} name=${icon} />`}${children}</a>`;

export function CopyButton({ text, children = "Copy", ...rest }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
    setDone(true);
    say("Copied.");
    setTimeout(() => setDone(false), 1500);
  };
  return html`<${Button} icon=${done ? "check" : "copy"} onPress=${copy} ...${rest}>${done ? "Copied" : children}<//>`;
}
