// Settings of the job that the form began with which it has no fields for: they are sent as they are.

import { html } from "htm/preact";
import { shown } from "../../lib/settings.js";
import { Button } from "../../parts/button.js";

export function Also({ draft, change }) {
  const pairs = Object.entries(draft.also);
  if (pairs.length === 0) return null;
  const leaveOut = (path) => change((before) => {
    const { [path]: _, ...also } = before.also;
    return { ...before, also };
  });
  return html`<section class="panel stack" aria-labelledby="also">
    <h2 id="also">Also, as that job has them</h2>
    <ul class="plain stack">
      ${pairs.map(([path, value]) => html`<li key=${path} class="row apart nowrap">
        <span class="wrap"><code>${path}</code> ${shown(value)}</span>
        <${Button} kind="bare" icon="cross" label="Leave ${path} out" onPress=${() => leaveOut(path)} />
      </li>`)}
    </ul>
  </section>`;
}
