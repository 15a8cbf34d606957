// An adapter from elsewhere: its archive dropped or chosen, what it will be called, and how much of it has gone.

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { size } from "../../lib/format.js";
import { fieldOf } from "../../lib/jobs.js";
import { go } from "../../lib/router.js";
import { importAdapter } from "../../lib/upload.js";
import { Button } from "../../parts/button.js";
import { Field } from "../../parts/field.js";
import { FileDrop } from "../../parts/file-drop.js";
import { Leave, Sent, useSending } from "../../parts/sending.js";
import { Note } from "../../parts/small.js";

const WHAT = html`An adapter in PEFT's format as a <code>.zip</code>, <code>.tar</code> or <code>.tar.gz</code> of its
  folder, with <code>adapter_config.json</code> and <code>adapter_model.safetensors</code>.`;

export function Import() {
  const [file, setFile] = useState(null);
  return html`<${FileDrop} label="Import an adapter" accept=".zip,.tar,.gz,.tgz" what=${WHAT} onFile=${setFile}>
    ${file && html`<${Said} key=${file.name} file=${file} onLeave=${() => setFile(null)} />`}
  <//>`;
}

// An archive's name without its endings, with what a folder may be called.
const nameFor = ({ name }) =>
  name.replace(/(\.zip|\.tar|\.tgz|(\.tar)?\.gz)$/i, "").replace(/[^\w.-]+/g, "-").replace(/^[-._]+/, "").slice(0, 100);

function Said({ file, onLeave }) {
  const [name, setName] = useState(nameFor(file));
  const [description, setDescription] = useState("");
  const sending = useSending();
  const { sent, refusal, send } = sending;
  const take = () => send(async (signal, onSent) => {
    const reply = await importAdapter(file, { adapter_name: name, description }, signal, onSent);
    go(["adapters", reply.adapter_name]);
  });
  const isOfName = refusal !== null && fieldOf(refusal.message, ["adapter_name"]) !== null;
  return html`<form class="stack" onSubmit=${(event) => event.preventDefault()}>
    <p><strong class="wrap">${file.name}</strong> <span class="quiet">${size(file.size / 1e6)}</span></p>
    <div class="fields">
      <${Field} id="adapter-name" label="Name" error=${isOfName && refusal.message}>
        <input value=${name} onInput=${(event) => setName(event.target.value.trim())} autocomplete="off" spellcheck=${false} />
      <//>
      <${Field} id="adapter-description" label="Description" help="Empty: as its own record says.">
        <input value=${description} onInput=${(event) => setDescription(event.target.value)} dir="auto" autocomplete="off" />
      <//>
    </div>
    ${refusal && !isOfName && html`<${Note} tone="bad" role="alert"><div class="said">${refusal.message}</div><//>`}
    <${Sent} sent=${sent} then="Sent; it is unpacked and looked at" />
    <div class="row">
      <${Button} type="submit" kind="main" icon="upload" onPress=${take} disabled=${name === ""}>Import<//>
      <${Leave} sending=${sending} onLeave=${onLeave} />
    </div>
  </form>`;
}
