// #/data/NAME?model=…&learn=…&max=…&file=…&first=…&tokens=…: what a data set is for a model, and its rows as the model learns them.

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { patch, remove, useAsk } from "../lib/api.js";
import { number, plural, size } from "../lib/format.js";
import { address, go, setQuery } from "../lib/router.js";
import { useGoing } from "../lib/going.js";
import { useStore } from "../lib/store.js";
import { nameOf } from "../lib/words.js";
import { LinkButton } from "../parts/button.js";
import { AskFirst } from "../parts/dialog.js";
import { Field } from "../parts/field.js";
import { Kept } from "../parts/kept.js";
import { Facts, Failed, Heading, Note, Reading, useTitle } from "../parts/small.js";
import { KINDS } from "./data.js";
import { Examples } from "./dataset/examples.js";
import { Findings, Problems } from "./dataset/findings.js";
import { Lengths } from "./dataset/lengths.js";

const LEARN = [["", "answers; of plain texts all"], ["completions", "what follows ### Response:"], ["all", "every token"]];

export function View({ path: [name], query }) {
  const changes = useStore((state) => state.dataChanges);
  const [key, going] = useGoing(changes);
  const { data, error, again } = useAsk(pathOf(name), key);
  const { data: models, error: noModels, again: askModels } = useAsk("/api/models");
  const jobs = useJobsOf(name);
  useTitle(name);
  if (error && (!data || error.status === 404)) return html`<${Heading}>Data set ${name}<//><${Failed} error=${error} again=${again} />`;
  if (noModels && !models) return html`<${Heading}>${name}<//><${Failed} error=${noModels} again=${askModels} />`;
  if (!data || !models) return html`<${Heading}>${name}<//><${Reading} />`;
  const here = models.models.filter((model) => model.downloaded && model.problem === null).map((model) => model.name);
  const model = query.model ?? here[0];
  return html`
    <${Head} dataset=${data} model=${model} going=${going} jobs=${jobs} />
    <${Contents} dataset=${data} jobs=${jobs} />
    ${data.num_rows === 0 && html`<${Note} tone="warn">No row was found in it.<//>`}
    ${model === undefined && html`
      <${Problems} dataset=${data} />
      <${Note}>Tokens are a model's own: what is learned of each row is shown once a base model is here. A job downloads one.<//>`}
    ${model && html`<${Read} key=${model} dataset=${data} model=${model} models=${here} query=${query} />`}
  `;
}

// {shown, total} of the jobs that name this data set, the newest first; null until all are known.
function useJobsOf(name) {
  const endings = useStore((state) => state.endings);
  const { data } = useAsk(`/api/training/jobs?limit=5&dataset_name=${encodeURIComponent(name)}`, endings);
  return data?.complete ? { shown: data.jobs, total: data.total } : null;
}

const pathOf = (name, rest = "") => `/api/training/data/${encodeURIComponent(name)}${rest}`;

// By the model's tokenizer and the trainer's own masks. Each is work for a process of the server's: asked again only when
// the rows are others.
function Read({ dataset, model, models, query }) {
  const name = dataset.dataset_name;
  const asked = new URLSearchParams({ model_name: model });
  if (query.learn) asked.set("learn", query.learn);
  const max = query.max ? `&max_seq_length=${encodeURIComponent(query.max)}` : "";
  const { data: report, error, again } = useAsk(pathOf(name, `/report?${asked}${max}`), dataset.sha256);
  const offered = models.includes(model) ? models : [model, ...models];
  return html`
    <div class="row compact" role="group" aria-label="As it is learned">
      <label>For <select value=${model} onChange=${(event) => setQuery({ model: event.target.value, tokens: "", first: "", file: "" })}>
        ${offered.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>
      <label>Learn <select value=${query.learn ?? ""} onChange=${(event) => setQuery({ learn: event.target.value })}>
        ${LEARN.map(([value, word]) => html`<option key=${value} value=${value}>${word}</option>`)}</select></label>
      <label>Longest row <${Kept} type="number" min="2" max="1048576" placeholder="2048" value=${query.max ?? ""} class="short"
        onKeep=${(text) => setQuery({ max: text })} /> tokens</label>
    </div>
    ${error && html`<${Failed} error=${error} again=${again} /><${Problems} dataset=${dataset} />`}
    ${!report && !error && html`<${Reading}>Reading all ${number(dataset.num_rows)} rows…<//>`}
    ${report && html`<${Findings} report=${report} /><${Lengths} report=${report} query=${query} />`}
    ${dataset.num_rows > 0 && html`<${Examples} path=${pathOf(name, "/preview")} asked=${asked} query=${query} version=${dataset.sha256}
      files=${dataset.files} />`}
  `;
}

function Head({ dataset, model, going, jobs }) {
  const { dataset_name: name, path, files } = dataset;
  const [newName, setNewName] = useState(name);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const rename = async () => {
    await going(() => patch(pathOf(name), { dataset_name: newName.trim() }));
    go(["data", newName.trim()]);
  };
  const erase = async () => {
    await going(() => remove(pathOf(name)));
    go(["data"]);
  };
  return html`<div class="stack" style=${{ gap: "4px" }}>
    <a class="small" href="#/data">‹ Data</a>
    <div class="head">
      <${Heading}>${name}<//>
      <div class="end">
        <${LinkButton} kind="main" icon="plus" href=${address(["new"], { dataset: name, model })}>Train on it<//>
        <${AskFirst} icon="pen" word="Rename…" title="Rename ${name}" yes="Rename" danger=${false} onYes=${rename}>
          <${Field} id="new-name" label="New name" help="Jobs have copies of their own: they go on.">
            <input value=${newName} onInput=${(event) => setNewName(event.target.value)} autocomplete="off" spellcheck=${false} />
          <//>
        <//>
        <${AskFirst} icon="bin" kind="bare" label="Delete this data set" title="Delete ${name}?" yes="Delete for good" onYes=${erase}>
          <p><code>${path}</code> goes, with all that is in it: ${plural(files.length, "file")} of rows, ${size(bytes / 1e6)},
            and whatever else you keep there.</p>
          ${jobs?.total > 0
            ? html`<p><strong>${plural(jobs.total, "job has", "jobs have")} used it</strong>: <${Links} dataset=${name} jobs=${jobs} />.
                They have copies of their own, and stay. To start one again, these rows would have to be uploaded again.</p>`
            : html`<p>No job has used it.</p>`}
        <//>
      </div>
    </div>
    <p class="quiet small wrap"><code>${path}</code></p>
  </div>`;
}

// Jobs by their names, and the way to all of them.
const Links = ({ dataset, jobs: { shown, total } }) => html`${shown.map((job, at) => html`${at > 0 && ", "}<a key=${job.job_id}
  href=${address(["jobs", job.job_id])}>${nameOf(job)}</a>`)}${total > shown.length && html` and
  <a href=${address(["jobs"], { dataset })}>${plural(total - shown.length, "other")}</a>`}`;

function Contents({ dataset, jobs }) {
  const unused = Object.entries(dataset.unused_keys).map(([key, count]) => `${key} (${number(count)})`);
  return html`<section class="panel stack" aria-label="What it holds">
    <${Facts} facts=${[
      ["Kind", KINDS[dataset.row_kind] ?? dataset.row_kind],
      ["Examples", number(dataset.num_usable)],
      ["Cannot be used", dataset.num_invalid === 0 ? null : html`<span class="bad">${number(dataset.num_invalid)}</span>`],
      ["Size", size(dataset.files.reduce((sum, file) => sum + file.bytes, 0) / 1e6)],
      ["Files", dataset.files.map((file) => file.name).join(", ")],
    ]} />
    ${jobs?.total > 0 && html`<p class="small wrap">Used by <${Links} dataset=${dataset.dataset_name} jobs=${jobs} /></p>`}
    ${unused.length > 0 && html`<p class="small quiet wrap">Not read, since they mean nothing: ${unused.join(", ")}</p>`}
    ${dataset.ignored_files.length > 0 && html`
      <p class="small quiet wrap">Other files in the folder: ${dataset.ignored_files.join(", ")}</p>`}
  </section>`;
}
