// A file dropped or chosen, what is said of it, and how much of it has gone.

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { size } from "../../lib/format.js";
import { go } from "../../lib/router.js";
import { ENDINGS, nameFor, uploadRows } from "../../lib/upload.js";
import { Button } from "../../parts/button.js";
import { Field } from "../../parts/field.js";
import { FileDrop } from "../../parts/file-drop.js";
import { Leave, Sent, useSending } from "../../parts/sending.js";
import { Note } from "../../parts/small.js";

export function Upload({ taken }) {
  const [file, setFile] = useState(null);
  return html`<${FileDrop} label="Upload" accept=${ENDINGS} onFile=${setFile}
    what="Texts, prompts and completions, or conversations, as JSON lines, CSV or Parquet. It stays on this machine.">
    ${file && html`<${Said} key=${file.name} file=${file} taken=${taken} onLeave=${() => setFile(null)} />`}
  <//>`;
}

function Said({ file, taken, onLeave }) {
  const [name, setName] = useState(nameFor(file));
  const [split, setSplit] = useState("train");
  const [columns, setColumns] = useState("");
  const [skips, setSkips] = useState(false);
  const sending = useSending();
  const { sent, refusal, send } = sending;
  const isThere = taken.includes(name);
  const take = () => send(async (signal, onSent) => {
    const said = { dataset_name: name, columns: columnsOf(columns), skip_invalid: skips, split: split === "train" ? undefined : split };
    const reply = await uploadRows(file, said, signal, onSent);
    go(["data", reply.dataset_name]);
  });
  return html`<form class="stack" onSubmit=${(event) => event.preventDefault()}>
    <p><strong class="wrap">${file.name}</strong> <span class="quiet">${size(file.size / 1e6)}</span></p>
    <div class="fields">
      <${Field} id="dataset-name" label="Name"
        help=${isThere && split === "train" ? `${name} is there: its rows to train on are replaced.` : ""}>
        <input value=${name} onInput=${(event) => setName(event.target.value)} autocomplete="off" spellcheck=${false} />
      <//>
      <${Field} id="split" label="Its rows are" help=${split === "eval" && !isThere ? "Give the name of a data set that is there." : ""}>
        <select value=${split} onChange=${(event) => setSplit(event.target.value)}>
          <option value="train">to train on</option>
          <option value="eval">kept from training, to evaluate on</option>
        </select>
      <//>
      <${Field} id="columns" label="Columns with other names" help="Such as prompt=question, completion=answer">
        <input value=${columns} onInput=${(event) => setColumns(event.target.value)} autocomplete="off" spellcheck=${false} />
      <//>
    </div>
    <label class="check"><input type="checkbox" checked=${skips}
      onChange=${() => setSkips(!skips)} />Leave out rows that cannot be used</label>
    ${refusal && html`<${Note} tone="bad" role="alert"><div class="said">${refusal.message}</div><//>`}
    <${Sent} sent=${sent} then="Sent; its rows are read" />
    <div class="row">
      <${Button} type="submit" kind="main" icon="upload" onPress=${take} disabled=${name === ""}>
        ${isThere && split === "train" ? "Replace" : "Upload"}<//>
      <${Leave} sending=${sending} onLeave=${onLeave} />
    </div>
  </form>`;
}

// "prompt=question, completion=answer" as the API takes it.
function columnsOf(text) {
  const pairs = text.split(",").map((pair) => pair.split("=").map((part) => part.trim())).filter(([key]) => key);
  return pairs.length === 0 ? undefined : JSON.stringify(Object.fromEntries(pairs));
}
