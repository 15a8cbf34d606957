// Rows as the model reads them: what it learns to write is marked, by the masks that the trainer uses.

import { html } from "htm/preact";
import { useAsk } from "../../lib/api.js";
import { number, plural } from "../../lib/format.js";
import { setQuery } from "../../lib/router.js";
import { Button } from "../../parts/button.js";
import { Kept } from "../../parts/kept.js";
import { Failed, Note, Reading } from "../../parts/small.js";

const ROWS = 5;

// Other rows, by a part of the address, with the focus on them.
export function showRows(changes) {
  setQuery(changes);
  requestAnimationFrame(() => document.getElementById("examples")?.focus());
}

// {min_tokens, max_tokens} of tokens=FROM-TO; nothing where it says no such thing.
function lengthsOf(query) {
  const [, least, most] = /^(\d+)-(\d+)$/.exec(query.tokens ?? "") ?? [];
  return most === undefined ? null : { min_tokens: least, max_tokens: most };
}

export function Examples({ path, asked, query, version, files }) {
  const first = Math.max(1, Math.floor(Number(query.first)) || 1);
  const file = query.file ?? files[0]?.name;
  const lengths = lengthsOf(query);
  const place = new URLSearchParams({ first, rows: ROWS, ...lengths, ...(query.file ? { file: query.file } : {}) });
  const { data, error, again } = useAsk(`${path}?${asked}&${place}`, version);
  const turn = (to, of = query.file) => setQuery({ first: to === 1 ? "" : to, file: of });
  const lines = files.find((one) => one.name === file);
  return html`<section class="stack" aria-labelledby="examples">
    <div class="row apart">
      <h2 id="examples" tabindex="-1">Examples</h2>
      <div class="row compact">
        ${files.length > 1 && html`<label>File <select value=${file} onChange=${(event) => turn(1, event.target.value)}>
          ${files.map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}</select></label>`}
        <label>From row <${Kept} type="number" min="1" max=${lines ? lines.used + lines.bad : undefined} value=${String(first)}
          class="short" onKeep=${(text) => turn(Number(text) || 1)} /></label>
        ${lengths === null
          ? html`<${Button} icon="left" label="Rows before" disabled=${first === 1} onPress=${() => turn(Math.max(1, first - ROWS))} />`
          : html`<${Button} icon="left" label="First of these rows" disabled=${first === 1 && !query.file}
              onPress=${() => turn(1, "")} />`}
        <${Button} icon="right" label="Next rows" disabled=${!data?.next} onPress=${() => turn(data.next.first, data.next.file)} />
      </div>
    </div>
    <p class="small quiet"><mark class="learned">Marked</mark>: the model learns to write it. The rest it only reads.</p>
    ${lengths && html`<div class="row">
      <span>Rows of ${number(Number(lengths.min_tokens))} to ${number(Number(lengths.max_tokens))} tokens</span>
      <${Button} icon="cross" onPress=${() => showRows({ tokens: "", first: "", file: "" })}>Show all lengths<//></div>`}
    ${data?.rows.length === 0 && html`<p class="quiet">${lengths ? "No row of this length from here on." : "No row from here on."}</p>`}
    ${error && html`<${Failed} error=${error} again=${again} />`}
    ${!data && !error && html`<${Reading} />`}
    ${data?.rows.map((row) => html`<${Row} key=${`${row.file} ${row.row}`} row=${row} />`)}
  </section>`;
}

const Row = ({ row }) => html`<article class="panel stack" aria-label="${row.file} line ${row.line}">
  <div class="row apart small quiet"><span>${row.file} line ${number(row.line)}</span>
    ${row.sequences.length > 0 && html`<span class="figures">
      ${row.sequences.map((one) => `${plural(one.num_tokens, "token")}, ${number(one.num_learned)} learned`).join(" · ")}</span>`}</div>
  ${row.problem && html`<${Note} tone="bad">${row.problem}<//>`}
  ${row.sequences.map((sequence, at) => html`<div key=${at} class="code said" dir="auto" tabindex="0" role="group"
    aria-label="Text ${at + 1}">
    ${sequence.pieces.map((piece) => (piece.learned
      ? html`<mark class="learned"><span class="hidden"> learned: </span>${piece.text}<span class="hidden"> end of learned </span></mark>`
      : html`<span class="read">${piece.text}</span>`))}
  </div>`)}
  ${row.notes.map((one) => html`<p class="small quiet wrap" key=${one.id + one.at}>
    ${[one.id.replaceAll("_", " "), one.at, one.value].filter(Boolean).join(": ")}</p>`)}
</article>`;
