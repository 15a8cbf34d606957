// One evaluation: how far it is, its verdict and table, and row by row what each model has answered.

import { html } from "htm/preact";
import { post, query as search, remove, useAsk } from "../../lib/api.js";
import { number, plural } from "../../lib/format.js";
import { setQuery } from "../../lib/router.js";
import { Button } from "../../parts/button.js";
import { AskFirst } from "../../parts/dialog.js";
import { Bar, Failed, Note, State } from "../../parts/small.js";

const ROWS = 10;
const TONES = { better: "good", worse: "bad", "cannot tell": "" };
const pathOf = (id, rest = "") => `/api/evaluations/${encodeURIComponent(id)}${rest}`;

export const isUnderWay = (evaluation) => evaluation.status === "pending" || evaluation.status === "running";

export function Evaluation({ id, turn, query, onGone }) {
  const { data, error, again } = useAsk(pathOf(id), turn);
  if (error && !data) return html`<${Failed} error=${error} again=${again} />`;
  if (!data) return null;
  const underWay = isUnderWay(data);
  const stop = async () => {
    await post(pathOf(id, "/stop"));
    again();
  };
  const erase = async () => {
    await remove(pathOf(id));
    onGone();
  };
  return html`<article class="panel stack" aria-labelledby="evaluation">
    <div class="row apart">
      <h2 id="evaluation" class="wrap">${data.adapter_name} against ${data.against.join(", ")}</h2>
      <div class="row"><${State} status=${data.status} />
        ${underWay && html`<${Button} icon="stop" onPress=${stop}>Stop<//>`}
        ${!underWay && html`<${AskFirst} icon="bin" kind="bare" label="Delete this evaluation" title="Delete this evaluation?"
          yes="Delete" onYes=${erase}>
          <p><code>${data.path}</code> goes, with its answers and its verdict.</p>
        <//>`}
      </div>
    </div>
    <p class="small quiet wrap">${plural(data.num_rows, "row")}, ${data.rows}${leftOut(data.num_left_out)}</p>
    ${underWay && html`<${Bar} percent=${data.progress} label="Progress of the evaluation" /><p class="small quiet">
      ${data.message ?? `${number(data.progress)} % of the answers`}</p>`}
    ${data.error_message && html`<${Note} tone="bad">${data.error_message}<//>`}
    ${data.verdicts.map((one) => html`<${Note} key=${one.grader + one.against} tone=${TONES[one.verdict]} icon="scale">
      ${one.sentence}<//>`)}
    ${data.warnings.map((one) => html`<${Note} key=${one} tone="warn">${one}<//>`)}
    ${data.table.length > 0 && html`<${Scores} table=${data.table} graders=${data.graders} />`}
    <${Answers} id=${id} turn=${turn} query=${query} />
  </article>`;
}

const leftOut = (reasons) => Object.entries(reasons).map(([why, count]) => `; ${number(count)} left out: ${why}`).join("");

const Scores = ({ table, graders }) => html`<div class="panel flush" tabindex="0" role="group" aria-label="Mean scores">
  <table class="table">
    <thead><tr><th scope="col">Model</th>${graders.map((name) => html`<th scope="col" class="num" key=${name}>${name}</th>`)}
      <th scope="col" class="num">Tokens an answer</th><th scope="col" class="num">Cut off</th></tr></thead>
    <tbody>${table.map((row) => html`<tr key=${row.model}>
      <th scope="row" class="wrap">${row.model}</th>
      ${graders.map((name) => html`<td class="num" key=${name}>${number(row.scores[name], 3)}</td>`)}
      <td class="num">${number(row.mean_tokens, 1)}</td><td class="num">${number(row.num_cut_off)}</td>
    </tr>`)}</tbody>
  </table>
</div>`;

function Answers({ id, turn, query }) {
  const after = Number(query.after) || 0;
  const { data } = useAsk(pathOf(id, `/answers${search({ limit: ROWS, after })}`), turn);
  if (!data || data.rows.length === 0) return null;
  const graders = Object.keys(data.rows.flatMap((row) => row.answers).find((one) => one.scores)?.scores ?? {});
  return html`<section class="stack" aria-label="Answers">
    <h3>Answers</h3>
    ${data.rows.map((row) => html`<${Answered} key=${row.row} row=${row} graders=${graders} />`)}
    ${data.total > ROWS && html`<nav class="pages" aria-label="Pages of answers">
      <span class="quiet small">rows ${number(after + 1)} to ${number(after + data.rows.length)} of ${number(data.total)}</span>
      <span class="row">
        <${Button} icon="left" disabled=${after === 0} onPress=${() => setQuery({ after: Math.max(0, after - ROWS) || "" })}>Before<//>
        <${Button} disabled=${data.next === null} onPress=${() => setQuery({ after: data.next })}>Next<//>
      </span>
    </nav>`}
  </section>`;
}

const Answered = ({ row, graders }) => html`<details class="answered">
  <summary class="clip" dir="auto">${number(row.row)}. ${textOf(row.prompt)}</summary>
  <dl class="pairs">
    <dt>asked</dt><dd class="said" dir="auto">${textOf(row.prompt)}</dd>
    <dt>should be</dt><dd class="said" dir="auto">${row.reference}</dd>
    ${row.answers.map((one) => html`<dt key=${one.model}>${one.model}
      <div class="small">${scored(one, graders)}</div></dt>
      <dd class="said" dir="auto">${one.error ?? (one.text || html`<span class="quiet">nothing</span>`)}</dd>`)}
  </dl>
</details>`;

function scored({ scores, finish_reason: finish }, graders) {
  const said = graders.map((name) => `${name} ${number(scores?.[name], 2)}`);
  if (finish === "length") said.push("cut off");
  return said.join(", ");
}

const textOf = (prompt) => (typeof prompt === "string" ? prompt : prompt.map((turn) => `${turn.role}: ${turn.content}`).join("\n"));
