// The points of a curve as a table: at most a hundred of them, evenly taken, the last one among them.

import { html } from "htm/preact";
import { figure, place } from "../lib/format.js";

const MOST = 100;
const WORDS = { raw: "raw", line: "", evaluation: "evaluation" };

export function CurveTable({ data, lines, axis, title }) {
  const count = data[0].length;
  const every = Math.max(1, Math.ceil(count / MOST));
  const rows = [];
  for (let n = (count - 1) % every; n < count; n += every) rows.push(n);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${title} as a table">
    <table class="table">
      <caption class="small quiet">${every > 1 ? `Every ${every}th of ${count} points; CSV has them all` : `All ${count} points`}</caption>
      <thead><tr>
        <th scope="col" class="num">${axis}</th>
        ${lines.map((line) => html`<th scope="col" class="num">${line.run.name} ${WORDS[line.kind]}</th>`)}
      </tr></thead>
      <tbody>
        ${rows.map((n) => html`<tr key=${n}>
          <td class="num">${place(data[0][n])}</td>
          ${lines.map((_, at) => html`<td class="num">${figure(data[at + 1][n])}</td>`)}
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}
