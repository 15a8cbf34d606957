// The settings in which some things differ, in a table: one column for each.

import { html } from "htm/preact";
import { effective, shown } from "../lib/settings.js";

// `named`: [[name, Map of settings by path], …]; `leftOut` are first parts of paths that say nothing.
export function Differing({ named, leftOut }) {
  const settings = named.map(([, one]) => one);
  const paths = [...new Set(settings.flatMap((one) => [...one.keys()]))].filter((path) => !leftOut.has(path));
  const differing = paths.filter((path) => new Set(settings.map((one) => JSON.stringify(effective(one, path)))).size > 1);
  return html`<section class="stack" aria-labelledby="differences">
    <h2 id="differences">What they differ in</h2>
    ${differing.length === 0
      ? html`<p class="quiet">Their settings are the same.</p>`
      : html`<div class="panel flush" tabindex="0" role="group" aria-label="The table of settings"><table class="table">
          <thead><tr><th scope="col">Setting</th>${named.map(([name]) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
          <tbody>${differing.map((path) => html`<tr key=${path}>
            <th scope="row"><code>${path}</code></th>
            ${settings.map((one) => html`<td class="wrap">${shown(effective(one, path))}</td>`)}
          </tr>`)}</tbody>
        </table></div>`}
  </section>`;
}
