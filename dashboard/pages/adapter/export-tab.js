// An adapter as files for other programs: made when asked for, with the path and what to do with it.

import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { begin, exportOf } from "../../lib/exports.js";
import { duration, plural, size } from "../../lib/format.js";
import { useStore } from "../../lib/store.js";
import { Button, CopyButton } from "../../parts/button.js";
import { Note } from "../../parts/small.js";

const FORMATS = [
  {
    format: "merged",
    title: "A whole model",
    what: "The adapter merged into its base, as large as that in 16 bits: for transformers, vLLM, and as a base to train on.",
    then: ({ path }) => `vllm serve ${path}`,
  },
  {
    format: "gguf",
    title: "One GGUF file",
    what: "The same as one file for llama.cpp and LM Studio, with a Modelfile for Ollama.",
    then: ({ path, adapter_name: name }) =>
      `llama-cli -m ${path}/model.gguf\n\n# or\nollama create ${name} -f ${path}/Modelfile\nollama run ${name}`,
  },
  {
    format: "gguf-lora",
    title: "The adapter as GGUF",
    what: "A few megabytes, for llama.cpp beside a GGUF of the base that you have already.",
    then: ({ path }) => `llama-server -m base.gguf --lora ${path}/adapter.gguf`,
  },
];

export const ExportTab = ({ adapter }) => html`<section class="stack" aria-label="Export">
  ${FORMATS.map((one) => html`<${Format} key=${one.format} adapter=${adapter} ...${one} />`)}
  <p class="small quiet">Exports lie in <code>exports/</code>. The same export again takes the place of the one before. As it is,
    PEFT reads <code>${adapter.path}</code>.</p>
</section>`;

function Format({ adapter, format, title, what, then }) {
  const made = useStore((state) => exportOf(state, adapter.name, format));
  const isBusy = made?.since !== undefined;
  return html`<article class="panel stack" aria-labelledby="export-${format}">
    <div class="row apart">
      <div class="grow"><h2 id="export-${format}">${title} <code class="quiet">${format}</code></h2><p class="small quiet">${what}</p></div>
      <${Button} icon="box" disabled=${isBusy || adapter.problem !== null} onPress=${() => void begin(adapter.name, format)}>
        Export<span class="hidden"> as ${title}</span>
      <//>
    </div>
    ${isBusy && html`<${Making} since=${made.since} />`}
    ${made?.error && html`<${Note} tone="bad" role="alert">${made.error.message}<//>`}
    ${made?.reply && html`<${Made} reply=${made.reply} then=${then(made.reply)} />`}
  </article>`;
}

function Making({ since }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return html`<div class="stack" style=${{ gap: "6px" }}>
    <div class="bar unknown" role="progressbar" aria-label="Exporting"><i></i></div>
    <p class="small quiet figures">Exporting for ${duration((Date.now() - since) / 1000)}. Other pages can be looked at
      meanwhile; closing this tab stops it.</p>
  </div>`;
}

const Made = ({ reply, then }) => html`<div class="stack">
  <${Note} tone="good"><code>${reply.path}</code>, ${size(reply.size_mb)} in ${plural(reply.files.length, "file")}<//>
  <div class="row"><${CopyButton} text=${reply.path}>Copy the path<//><${CopyButton} text=${then}>Copy the command<//></div>
  <pre class="code" tabindex="0" aria-label="What to do with it">${then}</pre>
</div>`;
