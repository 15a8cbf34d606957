// The base model: one of those that are here, an alias, or any hub id.

import { html } from "htm/preact";
import { useAsk } from "../../lib/api.js";
import { memory, number } from "../../lib/format.js";
import { Field } from "../../parts/field.js";

export function Model({ values, set, wrong }) {
  const { data } = useAsk("/api/models");
  const models = data?.models ?? [];
  const chosen = models.find((model) => model.name === values.model_name);
  return html`<${Field} id="model_name" label="Base model" help=${about(chosen, values.model_name)}
      error=${wrong?.path === "model_name" && wrong.sentence}>
      <input list="models" autocomplete="off" spellcheck=${false} placeholder="tiny-python" value=${values.model_name ?? ""}
        onInput=${(event) => set("model_name", event.target.value.trim())} />
    <//>
    <datalist id="models">
      ${[...models].sort((a, b) => b.downloaded - a.downloaded).map(
        (model) => html`<option key=${model.name} value=${model.name}>${model.downloaded ? "here" : `is downloaded: ${model.source}`}</option>`,
      )}
    </datalist>`;
}

function about(model, name) {
  if (!name) return "A folder of models/, an alias, or a hub id such as Qwen/Qwen3-4B.";
  if (!model) return "Not in models/: it is taken for a hub id and downloaded.";
  if (model.problem) return model.problem;
  if (!model.downloaded) return `${model.source} is downloaded first.`;
  const context = model.context_length ? `, reads ${number(model.context_length)} tokens at a time` : "";
  return `Here, ${memory(model.size_mb)}${context}.`;
}
