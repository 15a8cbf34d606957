// What was refused, in the corner, until it is closed or another page is opened: nobody has to read it in time. Screen
// readers are told at once.

import { html } from "htm/preact";
import { change, read, useStore } from "../lib/store.js";
import { Icon } from "./icon.js";

export function tell(refusal) {
  const toast = { text: refusal.message ?? String(refusal) };
  change({ toasts: [...(read().toasts ?? []), toast].slice(-3) });
}

export const clearToasts = () => change({ toasts: [] });

const dismiss = (toast) => change({ toasts: (read().toasts ?? []).filter((one) => one !== toast) });

export function Toasts() {
  const toasts = useStore((state) => state.toasts) ?? [];
  return html`<div class="toasts" role="alert">
    ${toasts.map(
      (toast) => html`<div class="toast">
        <span class="bad"><${Icon} name="alert" /></span><span>${toast.text}</span>
        <button type="button" class="button bare" aria-label="Close" onClick=${() => dismiss(toast)}>
          <${Icon} name="cross" />
        </button>
      </div>`,
    )}
  </div>`;
}
