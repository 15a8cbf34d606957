// How long rows are, in tokens, as bars and as a sentence.

import { html } from "htm/preact";
import { number, plural } from "../../lib/format.js";
import { Facts } from "../../parts/small.js";

const WIDE = 600;
const HIGH = 96;

export function Lengths({ report }) {
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
    <${Bars} histogram=${rows.histogram} label="Rows by their length in tokens. ${sentence}" />
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

function Bars({ histogram: { borders, counts }, label }) {
  const most = Math.max(...counts, 1);
  const wide = WIDE / counts.length;
  const range = (at) => `${number(borders[at])} to ${number(borders[at + 1] - 1)} tokens: ${plural(counts[at], "row")}`;
  return html`<div>
    <svg class="bars" viewBox="0 0 ${WIDE} ${HIGH}" preserveAspectRatio="none" role="img" aria-label=${label}>
      ${counts.map((count, at) => {
        const high = count === 0 ? 0 : Math.max(2, (count / most) * HIGH);
        return html`<g key=${at}><title>${range(at)}</title>
          <rect class="reach" x=${at * wide} y="0" width=${wide} height=${HIGH} />
          <rect x=${at * wide + 1} y=${HIGH - high} width=${Math.max(1, wide - 2)} height=${high} /></g>`;
      })}
    </svg>
    <div class="row apart small quiet figures"><span>${number(borders[0])}</span><span>${number(borders.at(-1) - 1)} tokens</span></div>
  </div>`;
}
