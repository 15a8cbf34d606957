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

// What is asked, as the API takes it.
export const questionOf = (query, ask) => ({ ask, system: query.system, as: query.as, settings: settingsOf(query) });

function settingsOf(query) {
  const settings = {};
  for (const { key, usual } of NUMBERS) {
    const value = query[key] === undefined ? usual : Number(query[key]);
    if (value !== null && (key !== "top_p" || value !== 1)) settings[key] = value;
  }
  if (query.stop) settings.stop = [unescaped(query.stop)];
  if (query.as !== "text" && FORMATS[query.json]) settings.response_format = FORMATS[query.json](query.schema ?? EXAMPLE);
  return settings;
}

// What an answer is held to.
const FORMATS = {
  object: () => ({ type: "json_object" }),
  schema: (text) => ({ type: "json_schema", json_schema: { name: "answer", schema: parsed(text) ?? {} } }),
};

const EXAMPLE = `{
  "type": "object",
  "properties": { "answer": { "type": "string", "maxLength": 80 } },
  "required": ["answer"]
}`;

// null for what is not JSON.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// Why it cannot be asked so.
export const amiss = (query) =>
  query.as !== "text" && query.json === "schema" && parsed(query.schema ?? EXAMPLE) === null ? "This is not JSON" : null;

// A new line cannot be written into a field of one line.
const unescaped = (text) => text.replaceAll("\\n", "\n");

export const Settings = ({ query }) => html`
  <details open=${query.system || query.json || query.as === "text" ? true : undefined}>
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
        <textarea rows="2" dir="auto" value=${query.system ?? ""} onChange=${(event) => setQuery({ system: event.target.value })}></textarea>
      <//>`}
      ${query.as !== "text" && html`<${Json} query=${query} />`}
      <div class="fields">
        ${NUMBERS.map(({ key, label, usual, step, most, help }) => html`<${Field} key=${key} id=${key} label=${label} help=${help}>
          <input type="number" min=${key === "max_tokens" ? 1 : 0} max=${most} step=${step} value=${query[key] ?? usual ?? ""}
            onChange=${({ target }) => target.reportValidity() && setQuery({ [key]: target.value === String(usual) ? "" : target.value })} />
        <//>`)}
        <${Field} id="stop" label="Stop at" help="A text; \\n is a new line.">
          <input value=${query.stop ?? ""} spellcheck=${false} autocomplete="off"
            onChange=${(event) => setQuery({ stop: event.target.value })} />
        <//>
      </div>
    </div>
  </details>
`;

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
  html`<${Field} id="schema" label="Schema" error=${amiss(query)}>
    <textarea class="mono" rows="6" spellcheck=${false} value=${query.schema ?? EXAMPLE}
      onChange=${(event) => setQuery({ schema: event.target.value })}></textarea>
  <//>`}
`;

function summary(query) {
  const said = [`temperature ${query.temperature ?? 0}`, `up to ${query.max_tokens ?? 256} tokens`];
  if (query.seed) said.push(`seed ${query.seed}`);
  if (query.system) said.push("with a system prompt");
  if (query.json && query.as !== "text") said.push("in JSON");
  return `Settings: ${said.join(", ")}`;
}
