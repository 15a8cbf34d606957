// Settings with their values: the changed ones, and folded away those that were left at their defaults.

import { html } from "htm/preact";
import { shown } from "../lib/settings.js";

// `pairs`: [[name, value], …]; `labels` is a Map of names to what people call them.
export function SettingPairs({ pairs, isChanged, labels }) {
  const changed = pairs.filter(([name, value]) => isChanged(name, value));
  const rest = pairs.filter(([name, value]) => !isChanged(name, value));
  return html`
    <div class="panel"><${Pairs} pairs=${changed} labels=${labels} /></div>
    ${rest.length > 0 &&
    html`<details><summary>Left at their defaults (${rest.length})</summary>
      <div class="panel"><${Pairs} pairs=${rest} labels=${labels} /></div>
    </details>`}
  `;
}

const Pairs = ({ pairs, labels }) => html`<dl class="pairs">
  ${pairs.map(
    ([name, value]) => html`<dt key=${name}>${labels.get(name) ?? ""} <code>${name}</code></dt><dd class="figures">${shown(value)}</dd>`,
  )}
</dl>`;
