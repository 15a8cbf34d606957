// How answers are made. All of it stands in the address.

import { html } from "htm/preact";
import { setQuery } from "../../lib/router.js";
import { Field } from "../../parts/field.js";

const NUMBERS = [
  { key: "temperature", label: "Temperature", usual: 0, step: "0.1", most: 10, help: "0: the likeliest token each time." },
  { key: "top_p", label: "Top p", usual: 1, step: "0.05", most: 1, help: "1: any token may come." },
  { key: "max_tokens", label: "Longest answer", usual: 256, step: "1", most: 100_000, help: "In tokens." },
  { key: "seed", label: "Seed", usual: null, step: "1", most: 2 ** 32 - 1, help: "The same one, the same answer." },
];

// As the API takes them.
export function settingsOf(query) {
  const settings = {};
  for (const { key, usual } of NUMBERS) {
    const value = query[key] === undefined ? usual : Number(query[key]);
    if (value !== null && (key !== "top_p" || value !== 1)) settings[key] = value;
  }
  if (query.stop) settings.stop = [unescaped(query.stop)];
  return settings;
}

// A new line cannot be written into a field of one line.
const unescaped = (text) => text.replaceAll("\\n", "\n");

export const Settings = ({ query }) => html`
  <details open=${query.system || query.as === "text" ? true : undefined}>
    <summary>${summary(query)}</summary>
    <div class="stack">
      <fieldset class="row">
        <legend class="hidden">What the text above is</legend>
        <label class="check"><input type="radio" name="as" checked=${query.as !== "text"} onChange=${() => setQuery({ as: "" })} />a question, asked by the model's chat template</label>
        <label class="check"><input type="radio" name="as" checked=${query.as === "text"} onChange=${() => setQuery({ as: "text" })} />a text to go on from, as it is</label>
      </fieldset>
      ${query.as !== "text" &&
      html`<${Field} id="system" label="System prompt">
        <textarea rows="2" dir="auto" value=${query.system ?? ""} onChange=${(event) => setQuery({ system: event.target.value })}></textarea>
      <//>`}
      <div class="fields">
        ${NUMBERS.map(({ key, label, usual, step, most, help }) => html`<${Field} key=${key} id=${key} label=${label} help=${help}>
          <input type="number" min=${key === "max_tokens" ? 1 : 0} max=${most} step=${step} value=${query[key] ?? usual ?? ""}
            onChange=${(event) => event.target.reportValidity() && setQuery({ [key]: event.target.value === String(usual) ? "" : event.target.value })} />
        <//>`)}
        <${Field} id="stop" label="Stop at" help="A text; \\n is a new line.">
          <input value=${query.stop ?? ""} spellcheck=${false} autocomplete="off" onChange=${(event) => setQuery({ stop: event.target.value })} />
        <//>
      </div>
    </div>
  </details>
`;

function summary(query) {
  const said = [`temperature ${query.temperature ?? 0}`, `up to ${query.max_tokens ?? 256} tokens`];
  if (query.seed) said.push(`seed ${query.seed}`);
  if (query.system) said.push("with a system prompt");
  return `Settings: ${said.join(", ")}`;
}
