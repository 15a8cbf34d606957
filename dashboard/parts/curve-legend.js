// What each line is, and its values at the cursor.

import { html } from "htm/preact";
import { figure, place } from "../lib/format.js";
import { nearest } from "../lib/lines.js";

export function Legend({ data, lines, runs, at, axis }) {
  if (lines.length === 0) return null;
  const hasRaw = lines.some((line) => line.kind === "raw");
  const hasEvaluation = lines.some((line) => line.kind === "evaluation");
  const column = (run, kind) => lines.findIndex((line) => line.run.id === run.id && line.kind === kind) + 1;
  const value = (run, kind) => (column(run, kind) > 0 ? nearest(data[column(run, kind)], at) : null);
  return html`<table class="legend">
    <caption class="hidden">Values at the cursor</caption>
    <thead>
      <tr>
        <th scope="col">at ${axis} ${place(data[0][at])}</th>
        <th scope="col" class="num">${hasRaw ? "smoothed" : "value"}</th>
        ${hasRaw && html`<th scope="col" class="num">raw</th>`}
        ${hasEvaluation && html`<th scope="col" class="num">evaluation ○</th>`}
      </tr>
    </thead>
    <tbody>
      ${runs.map((run) => html`<tr key=${run.id}>
        <th scope="row"><span class="run"><${Swatch} run=${run} lines=${lines} /><span>${run.name}</span>${run.more}</span></th>
        <td class="num">${figure(value(run, "line"))}</td>
        ${hasRaw && html`<td class="num">${figure(value(run, "raw"))}</td>`}
        ${hasEvaluation && html`<td class="num">${figure(value(run, "evaluation"))}</td>`}
      </tr>`)}
    </tbody>
  </table>`;
}

function Swatch({ run, lines }) {
  const dash = lines.find((line) => line.run.id === run.id)?.dash ?? [];
  return html`<svg class="swatch" viewBox="0 0 24 8" aria-hidden="true">
    <line class="stroke-${run.slot}" x1="0" x2="24" y1="4" y2="4" stroke-dasharray=${dash.join(" ") || undefined} />
  </svg>`;
}
