// #/data?q=…&page=…: data sets, and where a file becomes one.

import { html } from "htm/preact";
import { useAsk } from "../lib/api.js";
import { ago, number, plural, when } from "../lib/format.js";
import { pageOf } from "../lib/lists.js";
import { address } from "../lib/router.js";
import { useStore } from "../lib/store.js";
import { LinkButton } from "../parts/button.js";
import { Finder, Leaf } from "../parts/finder.js";
import { Icon } from "../parts/icon.js";
import { Failed, Heading, Reading, useTitle } from "../parts/small.js";
import { Table } from "../parts/table.js";
import { Upload } from "./data/upload.js";

export const KINDS = {
  text: "texts", prompt_completion: "prompts and completions", chat: "conversations", preference: "preferences", alpaca: "instructions",
};

export function View({ query }) {
  const changes = useStore((state) => state.dataChanges);
  const endings = useStore((state) => state.endings);
  const { data, error, again } = useAsk("/api/training/data", `${changes} ${endings}`);
  useTitle("Data");
  return html`
    <div class="head"><${Heading}>Data<//></div>
    ${error && html`<${Failed} error=${error} again=${again} />`}
    ${!data && !error && html`<${Reading} />`}
    ${data && html`<${Upload} taken=${data.datasets.map((one) => one.dataset_name)} />`}
    ${data && (data.total === 0
      ? html`<p class="quiet">No data set yet. Drop a file above, or put a folder
          with a <code>train.jsonl</code> into <code>training_data/</code>.</p>`
      : html`<${List} datasets=${data.datasets} query=${query} />`)}
  `;
}

function List({ datasets, query }) {
  const list = pageOf(datasets, query, (one) => `${one.dataset_name}\n${one.format}`);
  const columns = [
    { key: "name", label: "Name", kind: "lead", cell: (one) => html`
      <a href=${address(["data", one.dataset_name])}>${one.dataset_name}</a>
      ${one.problem && html`<div class="small bad plain-weight"><${Icon} name="alert" /> ${one.problem}</div>`}` },
    { key: "kind", label: "Kind", cell: (one) => KINDS[one.format] ?? one.format ?? html`<span class="quiet">put there by hand</span>` },
    { key: "rows", label: "Examples", kind: "num", cell: (one) => number(one.num_texts) },
    { key: "skipped", label: "Left out", kind: "num", cell: (one) => number(one.num_skipped) },
    { key: "jobs", label: "Used by", kind: "nowrap", cell: (one) => (one.num_jobs
      ? html`<a href=${address(["jobs"], { dataset: one.dataset_name })}>${plural(one.num_jobs, "job")}<span class="hidden">
          with ${one.dataset_name}</span></a>`
      : html`<span class="quiet">${one.num_jobs === 0 ? "no job" : "–"}</span>`) },
    { key: "made", label: "Uploaded", kind: "nowrap", cell: (one) => html`<time datetime=${one.created_at}
      title=${when(one.created_at)}>${ago(one.created_at)}</time>` },
    { key: "do", label: "Actions", kind: "wide last", plain: true, cell: (one) => html`<div class="row end-of-row">
      <${LinkButton} icon="plus" href=${address(["new"], { dataset: one.dataset_name })}>
        Train on it<span class="hidden">, ${one.dataset_name}</span><//></div>` },
  ];
  return html`<section class="stack" aria-label="Data sets">
    ${datasets.length > 8 && html`<${Finder} query=${query} label="Find a data set" />`}
    ${list.found.length === 0
      ? html`<p class="quiet">No data set has “${query.q}” in its name.</p>`
      : html`<div class="panel flush"><${Table} caption="Data sets" columns=${columns} rows=${list.shown}
        idOf=${(one) => one.dataset_name} /></div>`}
    <${Leaf} list=${list} one="data set" />
    <p class="small quiet">Each is a folder in <code>training_data/</code>. Jobs have copies of their own.</p>
  </section>`;
}
