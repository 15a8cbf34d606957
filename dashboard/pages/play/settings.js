// How answers are made. All of it stands in the address.

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { setQuery } from "../../lib/router.js";
import { Field } from "../../parts/field.js";
import { Kept } from "../../parts/kept.js";
import { amiss, NUMBERS, SCHEMA } from "./question.js";

export function Settings({ query }) {
  const [isTold] = useState(() => Boolean(query.system || query.json || query.tools || query.as === "text"));
  return html`<details open=${isTold}>
    <summary>${summary(query)}</summary>
    <div class="stack">
      <fieldset class="row choice">
        <legend class="hidden">What the text above is</legend>
        <label class="check"><input type="radio" name="as" checked=${query.as !== "text"}
          onChange=${() => setQuery({ as: "" })} />a question, asked by the model's chat template</label>
        <label class="check"><input type="radio" name="as" checked=${query.as === "text"}
          onChange=${() => setQuery({ as: "text" })} />a text to go on from, as it is</label>
      </fieldset>
      ${query.as !== "text" &&
      html`<${Field} id="system" label="System prompt">
        <${Kept} tag="textarea" rows="2" dir="auto" value=${query.system ?? ""} onKeep=${(text) => setQuery({ system: text })} />
      <//>`}
      ${query.as !== "text" && html`<${Json} query=${query} /><${Tools} query=${query} />`}
      <div class="fields">
        ${NUMBERS.map(({ key, label, usual, step, most, help }) => html`<${Field} key=${key} id=${key} label=${label} help=${help}>
          <${Kept} type="number" min=${key === "max_tokens" ? 1 : 0} max=${most} step=${step} value=${query[key] ?? String(usual ?? "")}
            onKeep=${(text, field) => field.reportValidity() && setQuery({ [key]: text === String(usual) ? "" : text })} />
        <//>`)}
        <${Field} id="stop" label="Stop at" help="A text; \\n is a new line.">
          <${Kept} value=${query.stop ?? ""} spellcheck=${false} autocomplete="off" onKeep=${(text) => setQuery({ stop: text })} />
        <//>
      </div>
    </div>
  </details>`;
}

const Json = ({ query }) => html`
  <${Field} id="json" label="Answer"
    help=${query.json ? "Say in the question what JSON is wanted: the model is held to it, and does not see it." : ""}>
    <select value=${query.json ?? ""} onChange=${(event) => setQuery({ json: event.target.value })}>
      <option value="">in any words</option>
      <option value="object">as a JSON object</option>
      <option value="schema">as JSON of a schema</option>
    </select>
  <//>
  ${query.json === "schema" &&
  html`<${Field} id="schema" label="Schema" error=${amiss(query).schema}>
    <${Kept} tag="textarea" class="mono" rows="6" spellcheck=${false} value=${query.schema ?? SCHEMA}
      onKeep=${(text) => setQuery({ schema: text })} />
  <//>`}
`;

const TOOL = '[{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {…}}}}]';

const Tools = ({ query }) => html`
  <${Field} id="tools" label="Tools" error=${amiss(query).tools}
    help="Functions that it may call, as OpenAI's protocol has them. Empty: none.">
    <${Kept} tag="textarea" class="mono" rows="3" spellcheck=${false} placeholder=${TOOL} value=${query.tools ?? ""}
      onKeep=${(text) => setQuery({ tools: text.trim() })} />
  <//>
  ${query.tools &&
  html`<label class="check"><input type="checkbox" checked=${query.call === "required"}
    onChange=${() => setQuery({ call: query.call === "required" ? "" : "required" })} />It has to call one</label>`}
`;

function summary(query) {
  const said = [`temperature ${query.temperature ?? 0}`, `up to ${query.max_tokens ?? 256} tokens`];
  if (query.seed) said.push(`seed ${query.seed}`);
  if (query.system) said.push("with a system prompt");
  if (query.json && query.as !== "text") said.push("in JSON");
  if (query.tools && query.as !== "text") said.push("with tools");
  return `Settings: ${said.join(", ")}`;
}
