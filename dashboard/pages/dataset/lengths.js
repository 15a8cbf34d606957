// How long rows are, in tokens, as a sentence, and as bars that show the rows of their length: tokens=FROM-TO.

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { number, plural } from "../../lib/format.js";
import { Facts } from "../../parts/small.js";
import { showRows } from "./examples.js";

const WIDE = 600;
const HIGH = 96;

export function Lengths({ report, query }) {
  const { tokens, too_long: long } = report;
  const rows = tokens.per_row;
  if (rows === null) return null;
  const share = Math.floor((100 * tokens.learned) / tokens.total);
  const most = `Half of the rows have up to ${number(rows.p50)} tokens, nine in ten up to ${number(rows.p90)}`;
  const sentence = `${most}; the longest has ${number(rows.max)}.`;
  return html`<section class="panel stack" aria-labelledby="lengths">
    <h2 id="lengths">Lengths</h2>
    <${Facts} facts=${[
      ["Tokens", number(tokens.total)],
      ["Learned", `${number(tokens.learned)} (${share} %)`],
      ["Median row", number(rows.p50)],
      ["Longest row", number(rows.max)],
    ]} />
    <${Bars} histogram=${rows.histogram} label="Rows by their length in tokens. ${sentence}" query=${query} />
    <p class="small">${sentence} ${cut(long)}</p>
  </section>`;
}

function cut(long) {
  if (long.count === 0) return `None is longer than ${number(long.max_seq_length)}.`;
  const lost = [];
  if (long.lose_an_answers_end) lost.push(`${number(long.lose_an_answers_end)} would lose the end of an answer`);
  if (long.lose_everything) lost.push(`${number(long.lose_everything)} all that is learned`);
  const then = lost.join(", ") || "they lose nothing that is learned";
  return `${plural(long.count, "row is", "rows are")} longer than ${number(long.max_seq_length)}; cut there, ${then}.`;
}

// One stop of Tab: arrows go from bar to bar, Enter shows its rows, and once more those of every length.
function Bars({ histogram: { borders, counts }, label, query }) {
  const [active, setActive] = useState(null);
  const most = Math.max(...counts, 1);
  const wide = WIDE / counts.length;
  const lengths = counts.map((_, at) => `${borders[at]}-${borders[at + 1] - 1}`);
  const chosen = lengths.indexOf(query.tokens);
  const range = (at) => `${number(borders[at])} to ${number(borders[at + 1] - 1)} tokens: ${plural(counts[at], "row")}`;
  const choose = (at) => {
    setActive(at);
    showRows({ tokens: at === chosen ? "" : lengths[at], file: "", first: "" });
  };
  const current = active ?? Math.max(chosen, 0);
  const keys = (event) => {
    const to = { ArrowRight: current + 1, ArrowLeft: current - 1, Home: 0, End: counts.length - 1 }[event.key];
    if (to !== undefined) setActive(Math.min(Math.max(to, 0), counts.length - 1));
    else if (event.key === "Enter" || event.key === " ") choose(current);
    else return;
    event.preventDefault();
  };
  return html`<div>
    <svg class="bars" viewBox="0 0 ${WIDE} ${HIGH}" preserveAspectRatio="none" role="listbox" aria-label=${label} tabindex="0"
      aria-orientation="horizontal" aria-activedescendant="bar-${current}" onKeyDown=${keys}
      onFocus=${() => setActive(current)} onBlur=${() => setActive(null)}>
      ${counts.map((count, at) => {
        const high = count === 0 ? 0 : Math.max(2, (count / most) * HIGH);
        return html`<g key=${at} id="bar-${at}" role="option" aria-label=${range(at)} aria-selected=${at === chosen}
          class=${at === active ? "is-active" : ""} onClick=${() => choose(at)}><title>${range(at)}</title>
          <rect class="reach" x=${at * wide} y="0" width=${wide} height=${HIGH} />
          <rect x=${at * wide + 1} y=${HIGH - high} width=${Math.max(1, wide - 2)} height=${high} /></g>`;
      })}
    </svg>
    <div class="row apart small quiet figures"><span>${number(borders[0])}</span>
      <span>${active === null ? "a bar shows its rows" : range(active)}</span><span>${number(borders.at(-1) - 1)} tokens</span></div>
  </div>`;
}
