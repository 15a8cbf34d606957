// What was refused, in the corner, until it is closed or ten seconds have gone; screen readers are told at once.

import { html } from "htm/preact";
import { change, read, useStore } from "../lib/store.js";
import { Icon } from "./icon.js";

const SHOWN_MS = 10_000;

export function tell(refusal) {
  const toast = { text: refusal.message ?? String(refusal) };
  change({ toasts: [...(read().toasts ?? []), toast].slice(-3) });
  setTimeout(() => dismiss(toast), SHOWN_MS);
}

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
