// Whether an adapter answers better than another model: evaluation=ID shows one, with every answer.

import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { post, query as search, useAsk } from "../../lib/api.js";
import { setQuery } from "../../lib/router.js";
import { pathOf } from "../../parts/adapter-actions.js";
import { Button } from "../../parts/button.js";
import { Field } from "../../parts/field.js";
import { Failed, Note, State } from "../../parts/small.js";
import { Evaluation, isUnderWay } from "./evaluation.js";

const LOOK_EVERY_MS = 2000;

export function EvaluateTab({ adapter, query }) {
  const [turn, setTurn] = useState(0);
  const { data, error, again } = useAsk(`/api/evaluations${search({ adapter_name: adapter.name })}`, turn);
  const rows = data?.evaluations ?? [];
  useTurns(rows.some(isUnderWay), setTurn);
  const shown = query.evaluation ?? rows[0]?.evaluation_id;
  return html`<section class="stack" aria-label="Evaluate">
    <${Ask} adapter=${adapter} onBegun=${(id) => { setQuery({ evaluation: id, after: "" }); again(); }} />
    ${error && html`<${Failed} error=${error} again=${again} />`}
    ${rows.length > 1 && html`<${Chooser} rows=${rows} shown=${shown} />`}
    ${shown && html`<${Evaluation} key=${shown} id=${shown} turn=${turn} query=${query}
      onGone=${() => { setQuery({ evaluation: "" }); again(); }} />`}
  </section>`;
}

// Nobody tells of an evaluation's progress: it is asked for, while somebody looks.
function useTurns(isOn, setTurn) {
  useEffect(() => {
    if (!isOn) return undefined;
    const timer = setInterval(() => document.hidden || setTurn((n) => n + 1), LOOK_EVERY_MS);
    return () => clearInterval(timer);
  }, [isOn]);
}

function Ask({ adapter, onBegun }) {
  const { data: models } = useAsk("/v1/models");
  const { data: sets } = useAsk("/api/training/data");
  const [against, setAgainst] = useState("");
  const [dataset, setDataset] = useState("");
  const [rows, setRows] = useState("200");
  const [tokens, setTokens] = useState("256");
  const [refusal, setRefusal] = useState(null);
  const others = (models?.data ?? []).map((model) => model.id).filter((id) => id !== adapter.name && id !== adapter.model_name);
  const begin = async () => {
    setRefusal(null);
    const body = { max_rows: Number(rows), max_tokens: Number(tokens) };
    if (against) body.against = [against];
    if (dataset) body.dataset_name = dataset;
    onBegun((await post(pathOf(adapter.name, "/evaluate"), body)).evaluation_id);
  };
  return html`<div class="panel stack">
    <div><h2>Is it better?</h2>
      <p class="small quiet">Both are asked the same questions, and each answer is compared with the one that it should
        have been. Ask what it was not trained on.</p></div>
    <div class="fields">
      <${Field} id="against" label="Against">
        <select value=${against} onChange=${(event) => setAgainst(event.target.value)}>
          <option value="">its base, ${adapter.model_name}</option>
          ${others.map((id) => html`<option key=${id} value=${id}>${id}</option>`)}
        </select>
      <//>
      <${Field} id="questions" label="Questions">
        <select value=${dataset} onChange=${(event) => setDataset(event.target.value)}>
          <option value="">its job's evaluation rows</option>
          ${(sets?.datasets ?? []).map(({ dataset_name: name }) => html`<option key=${name} value=${name}>data set ${name}</option>`)}
        </select>
      <//>
      <${Field} id="max-rows" label="Rows at most"><input type="number" min="1" max="5000" value=${rows}
        onInput=${(event) => setRows(event.target.value)} /><//>
      <${Field} id="max-tokens" label="Longest answer, in tokens"><input type="number" min="1" value=${tokens}
        onInput=${(event) => setTokens(event.target.value)} /><//>
    </div>
    ${refusal && html`<${Note} tone="bad" role="alert">${refusal.message}<//>`}
    <div><${Button} kind="main" icon="scale" onPress=${begin} onRefused=${setRefusal} disabled=${adapter.problem !== null}>
      Evaluate<//></div>
  </div>`;
}

const Chooser = ({ rows, shown }) => html`<details>
  <summary>All ${rows.length} evaluations</summary>
  <ul class="plain stack">
    ${rows.map((one) => html`<li key=${one.evaluation_id} class="row">
      ${one.status && html`<${State} status=${one.status} />`}
      <a href="" aria-current=${one.evaluation_id === shown ? "true" : undefined}
        onClick=${(event) => { event.preventDefault(); setQuery({ evaluation: one.evaluation_id, after: "" }); }}>
        against ${one.against.join(", ") || one.evaluation_id}</a>
      <span class="small quiet wrap grow">${one.problem ?? one.verdict}</span>
    </li>`)}
  </ul>
</details>`;
