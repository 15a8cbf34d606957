// A file dropped or chosen, what is said of it, and how much of it has gone.

import { html } from "htm/preact";
import { useRef, useState } from "preact/hooks";
import { number, size } from "../../lib/format.js";
import { go } from "../../lib/router.js";
import { upload } from "../../lib/upload.js";
import { Button } from "../../parts/button.js";
import { Field } from "../../parts/field.js";
import { Icon } from "../../parts/icon.js";
import { Bar, Note } from "../../parts/small.js";

const ENDINGS = ".jsonl,.json,.csv,.tsv,.parquet,.txt,.gz,.zst";

export function Upload({ taken }) {
  const [file, setFile] = useState(null);
  const [isOver, setOver] = useState(false);
  const chosen = useRef();
  const over = (event) => {
    event.preventDefault();
    setOver(true);
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer.files[0]) setFile(event.dataTransfer.files[0]);
  };
  return html`<section class="panel drop ${isOver ? "is-over" : ""}" aria-label="Upload" onDragOver=${over}
    onDragLeave=${() => setOver(false)} onDrop=${drop}>
    ${file === null
      ? html`<div class="row">
          <span class="quiet big-icon"><${Icon} name="upload" /></span>
          <div class="grow"><strong>Drop a file here</strong>
            <p class="small quiet">Texts, prompts and completions, or conversations, as JSON lines, CSV or Parquet. It stays on
              this machine.</p></div>
          <${Button} onPress=${() => chosen.current.click()}>Choose a file<//>
          <input type="file" ref=${chosen} accept=${ENDINGS} hidden
            onChange=${(event) => { setFile(event.target.files[0] ?? null); event.target.value = ""; }} />
        </div>`
      : html`<${Said} key=${file.name} file=${file} taken=${taken} onLeave=${() => setFile(null)} />`}
  </section>`;
}

// A file's name without its endings, with what a folder may be called.
const nameFor = ({ name }) => {
  const bare = name.replace(/\.(jsonl|json|csv|tsv|parquet|txt)?(\.(gz|zst))?$/i, "");
  return bare.replace(/[^\w.-]+/g, "-").replace(/^[-.]+/, "").slice(0, 64);
};

function Said({ file, taken, onLeave }) {
  const [name, setName] = useState(nameFor(file));
  const [split, setSplit] = useState("train");
  const [columns, setColumns] = useState("");
  const [skips, setSkips] = useState(false);
  const [sent, setSent] = useState(null);
  const [refusal, setRefusal] = useState(null);
  const leaving = useRef(null);
  const isThere = taken.includes(name);
  const send = async () => {
    setRefusal(null);
    setSent(0);
    leaving.current = new AbortController();
    try {
      const said = { dataset_name: name, columns: columnsOf(columns), skip_invalid: skips, split: split === "train" ? undefined : split };
      const reply = await upload(file, said, leaving.current.signal, setSent);
      go(["data", reply.dataset_name]);
    } catch (error) {
      if (error.name !== "AbortError") setRefusal(error);
    } finally {
      setSent(null);
    }
  };
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
    ${sent !== null && html`<${Bar} percent=${100 * sent} label="Upload" />
      <p class="small quiet figures">${sent < 1 ? `${number(100 * sent)} % sent` : "Sent; its rows are read"}</p>`}
    <div class="row">
      <${Button} type="submit" kind="main" icon="upload" onPress=${send} disabled=${name === ""}>
        ${isThere && split === "train" ? "Replace" : "Upload"}<//>
      <${Button} kind="bare" onPress=${() => (sent === null ? onLeave() : leaving.current.abort())}>
        ${sent === null ? "Not now" : "Stop"}<//>
    </div>
  </form>`;
}

// "prompt=question, completion=answer" as the API takes it.
function columnsOf(text) {
  const pairs = text.split(",").map((pair) => pair.split("=").map((part) => part.trim())).filter(([key]) => key);
  return pairs.length === 0 ? undefined : JSON.stringify(Object.fromEntries(pairs));
}
