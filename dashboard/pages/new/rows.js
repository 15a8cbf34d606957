// What is learned from: a data set, a file that becomes one, or texts that are pasted.

import { html } from "htm/preact";
import { useAsk } from "../../lib/api.js";
import { blocks } from "../../lib/draft.js";
import { plural } from "../../lib/format.js";
import { useStore } from "../../lib/store.js";
import { ENDINGS, nameFor, uploadRows } from "../../lib/upload.js";
import { Button } from "../../parts/button.js";
import { Field } from "../../parts/field.js";
import { Icon } from "../../parts/icon.js";
import { Sent, useSending } from "../../parts/sending.js";

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

function FromDataset({ draft, values, set, error }) {
  const changes = useStore((state) => state.dataChanges);
  const { data } = useAsk("/api/training/data", changes);
  const sets = data?.datasets ?? [];
  const name = values.dataset_name ?? "";
  const help = helpWith(draft, name, sets.length === 0 && data !== null);
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

function helpWith({ rowsIn }, name, isNoneThere) {
  if (rowsIn && !name) return `The rows of that job came with its request, and are no data set: they lie in ${rowsIn}.`;
  return isNoneThere
    ? "There is no data set yet. Choose a file, or copy a folder into training_data/."
    : "JSON Lines, JSON, CSV or Parquet: chats, prompts with answers, or plain texts.";
}

// A file is uploaded as a data set, by its own name or one like it that is free: the job can then be started again, and
// the data be looked at.
function FromFile({ change, error }) {
  const { data } = useAsk("/api/training/data");
  const { sent, refusal, send, stop } = useSending();
  const take = (file) => file && send(async (signal, onSent) => {
    const taken = (data?.datasets ?? []).map((one) => one.dataset_name);
    const reply = await uploadRows(file, { dataset_name: freeName(file, taken) }, signal, onSent);
    change((before) => ({ ...before, source: "dataset", values: { ...before.values, dataset_name: reply.dataset_name } }));
  });
  const drop = (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  };
  return html`<div class="drop" onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>
    <${Field} id="rows" label="File" error=${refusal?.message ?? error}
      help="Drop it here, too. .jsonl, .json, .csv or .parquet; it becomes a data set of its name.">
      <input type="file" accept=${ENDINGS} disabled=${data === null || sent !== null}
        onChange=${(event) => take(event.target.files[0])} />
    <//>
    <${Sent} sent=${sent} then="Sent; its rows are read" />
    ${sent !== null && html`<${Button} kind="bare" onPress=${stop}>Stop<//>`}
  </div>`;
}

function freeName(file, taken) {
  const name = nameFor(file) || "data";
  let free = name;
  for (let n = 2; taken.includes(free); n += 1) free = `${name}-${n}`;
  return free;
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
