// What is to be known of some rows: those that cannot be used, cannot be learned as they are, or are hardly meant so.

import { html } from "htm/preact";
import { number, plural } from "../../lib/format.js";
import { Note } from "../../parts/small.js";
import { showRows } from "./examples.js";

const TONES = { error: "bad", warning: "warn", note: "" };
const SHOWN = 3;

export function Findings({ report }) {
  const { findings, held_out: kept } = report;
  return html`<section class="stack" aria-labelledby="findings">
    <h2 id="findings">${findings.length === 0 ? "No problem was found" : plural(findings.length, "finding")}</h2>
    ${findings.length === 0 && html`<${Note} tone="good">
      All ${number(report.num_learned)} rows can be learned by ${report.model_name}.<//>`}
    ${findings.map((one) => html`<${Note} key=${one.kind + one.id} tone=${TONES[one.severity]}>
      <p>${one.message}</p>
      ${one.fix && html`<p class="small quiet">${one.fix}</p>`}
      <${Places} rows=${one.first.map((place) => briefly(place, one.message))} count=${one.count} />
    <//>`)}
    ${kept.map((one) => html`<p class="small wrap" key=${one.file}>
      ${one.file} is kept from training: ${plural(one.num_rows, "row")}${one.problem ? `, which cannot be read: ${one.problem}` : ""}</p>`)}
  </section>`;
}

// A finding of one row says what is wrong with it already.
const briefly = (place, said) => (place.message && said.includes(place.message) ? { ...place, message: "" } : place);

// By the rows alone, where there is no model to ask.
export function Problems({ dataset }) {
  if (dataset.problems.length === 0) return null;
  return html`<${Note} tone="bad">
    <p>${plural(dataset.num_invalid, "row")} cannot be used</p>
    <${Places} rows=${dataset.problems} count=${dataset.num_invalid} />
  <//>`;
}

function Places({ rows, count }) {
  if (rows.length === 0) return null;
  const list = (some) => html`<ul class="places small">${some.map((one) => html`<li key=${`${one.file} ${one.row} ${one.at}`}>
    <${Place} place=${one} /></li>`)}</ul>`;
  return html`
    ${list(rows.slice(0, SHOWN))}
    ${rows.length > SHOWN && html`<details>
      <summary class="small">${number(rows.length - SHOWN)} more${count > rows.length ? ` of ${number(count)}` : ""}</summary>
      ${list(rows.slice(SHOWN))}
    </details>`}
  `;
}

function Place({ place }) {
  const said = [place.at, place.value, place.message].filter(Boolean).join(": ");
  const show = () => showRows({ file: place.file, first: place.row, tokens: "" });
  const same = place.same_as && `, the same as ${place.same_as.file} line ${number(place.same_as.line)}`;
  return html`<button type="button" class="link" onClick=${show}>${place.file} line ${number(place.line)}</button>
    <span class="wrap" dir="auto">${said && ` ${said}`}${same}</span>`;
}
