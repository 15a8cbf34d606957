// A labelled control with a sentence of help below it, and the server's refusal where it names this field.

import { html } from "htm/preact";
import { cloneElement } from "preact";
import { Icon } from "./icon.js";

// The only child is the control.
export function Field({ id, label, help, error, children }) {
  const described = [help && `${id}-help`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  const control = Array.isArray(children) ? children.find((child) => child?.type) : children;
  const marked = { id, "aria-describedby": described, "aria-invalid": error ? "true" : undefined };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${cloneElement(control, marked)}
    ${error && html`<div class="error" id="${id}-error"><${Icon} name="alert" /><span>${error}</span></div>`}
    ${help && html`<div class="help" id="${id}-help">${help}</div>`}
  </div>`;
}
