// What is learned from: a data set, a file that becomes one, or texts that are pasted.

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { Refusal, useAsk } from "../../lib/api.js";
import { blocks } from "../../lib/draft.js";
import { plural } from "../../lib/format.js";
import { useStore } from "../../lib/store.js";
import { Field } from "../../parts/field.js";
import { Icon } from "../../parts/icon.js";

const SOURCES = [["dataset", "A data set"], ["file", "A file"], ["paste", "Pasted texts"]];

export function Rows({ draft, change, values, set, wrong }) {
  const choose = (source) => change((before) => ({ ...before, source }));
  const error = wrong?.path === "rows" && wrong.sentence;
  const Source = { dataset: FromDataset, file: FromFile, paste: FromPaste }[draft.source];
  return html`<fieldset class="stack">
    <legend>Data</legend>
    <div class="row choice">
      ${SOURCES.map(([source, word]) => html`<label class="check" key=${source}>
        <input type="radio" name="source" checked=${draft.source === source} onChange=${() => choose(source)} />${word}
      </label>`)}
    </div>
    <${Source} draft=${draft} change=${change} values=${values} set=${set} error=${error} />
  </fieldset>`;
}

function FromDataset({ values, set, error }) {
  const changes = useStore((state) => state.dataChanges);
  const { data } = useAsk("/api/training/data", changes);
  const sets = data?.datasets ?? [];
  const name = values.dataset_name ?? "";
  const help = sets.length === 0 && data
    ? "There is no data set yet. Choose a file, or copy a folder into training_data/."
    : "JSON Lines, JSON, CSV or Parquet: chats, prompts with answers, or plain texts.";
  return html`<${Field} id="rows" label="Data set" help=${help} error=${error}>
    <select value=${name} onChange=${(event) => set("dataset_name", event.target.value)}>
      <option value="">Choose…</option>
      ${name && !sets.some((one) => one.dataset_name === name) && html`<option value=${name}>${name} (not here)</option>`}
      ${sets.map((one) => html`<option key=${one.dataset_name} value=${one.dataset_name}>
        ${one.dataset_name}${one.num_texts === null ? "" : ` (${plural(one.num_texts, "example")})`}
      </option>`)}
    </select>
  <//>`;
}

// A file is uploaded as a data set of its own name: the job can then be started again, and the data be looked at.
function FromFile({ change, error }) {
  const [state, setState] = useState({ busy: false, problem: null });
  const take = async (file) => {
    if (!file) return;
    setState({ busy: true, problem: null });
    try {
      const name = await upload(file);
      change((before) => ({ ...before, source: "dataset", values: { ...before.values, dataset_name: name } }));
    } catch (refusal) {
      setState({ busy: false, problem: refusal.message });
    }
  };
  const drop = (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  };
  return html`<div class="drop" onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>
    <${Field} id="rows" label="File" error=${state.problem ?? error}
      help="Drop it here, too. .jsonl, .json, .csv or .parquet; it becomes a data set of its name.">
      <input type="file" accept=".jsonl,.json,.csv,.tsv,.parquet,.txt" onChange=${(event) => take(event.target.files[0])} />
    <//>
    ${state.busy && html`<p role="status">Uploading…</p>`}
  </div>`;
}

async function upload(file) {
  const name = file.name.replace(/\.[^.]+$/, "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "") || "data";
  const form = new FormData();
  form.append("dataset_name", name);
  form.append("file", file);
  const reply = await fetch("/api/training/data/upload", { method: "POST", body: form });
  const answer = await reply.json();
  if (!reply.ok) throw new Refusal(reply.status, answer.error);
  return answer.dataset_name;
}

function FromPaste({ draft, change, error }) {
  const count = blocks.split(draft.texts).length;
  const write = (event) => change((before) => ({ ...before, texts: event.target.value }));
  return html`<${Field} id="rows" label="Texts" error=${error}
      help="With a line --- between them. What the model shall write stands behind a line ### Response:">
      <textarea class="mono" rows="10" spellcheck=${false} placeholder=${EXAMPLE} value=${draft.texts} onInput=${write}></textarea>
    <//>
    ${count > 0 && html`<p class="small quiet figures"><${Icon} name="check" /> ${plural(count, "text")}</p>`}`;
}

const EXAMPLE = "### Instruction:\nAdd two numbers\n\n### Response:\ndef add(a, b):\n    return a + b\n---\n### Instruction:\n…";
