// The settings of a group, folded: each with a sentence on what it does and what is usual.

import { html } from "htm/preact";
import { isChanged, isSet, SETTINGS } from "../../lib/settings.js";
import { Field } from "../../parts/field.js";
import { Icon } from "../../parts/icon.js";

const MORE = ["description", "seed", "eval_dataset_name", "init_adapter"];
const SHOWN_ABOVE = ["training_config.validation_split"];

const ofGroup = (group) =>
  SETTINGS.filter((one) => (group === "More" ? MORE.includes(one.path) : one.group === group && !SHOWN_ABOVE.includes(one.path)));

export function Settings({ group, draft, change, ...each }) {
  const settings = ofGroup(group);
  const isWrong = settings.some(({ path }) => path === each.wrong?.path) || (group === "More" && each.wrong?.path === "sample_prompts");
  return html`<details class="panel fold" open=${isWrong || undefined}>
    <summary><h2>${group}</h2> <span class="small quiet wrap">${brief(settings, each.values)}</span></summary>
    <div class="grid-fields">
      ${settings.map(({ path }) => html`<${Setting} key=${path} path=${path} ...${each} />`)}
    </div>
    ${group === "More" && html`<${Prompts} draft=${draft} change=${change} error=${each.wrong?.path === "sample_prompts" && each.wrong.sentence} />`}
  </details>`;
}

// One setting. `help` takes the place of its own sentence.
export function Setting({ path, values, set, wrong, help }) {
  const setting = SETTINGS.find((one) => one.path === path);
  const error = wrong?.path === path && wrong.sentence;
  const value = values[path] ?? (setting.choices ? (setting.initial ?? "") : "");
  if (setting.kind === "yes") {
    return html`<div class="field">
      <label class="check"><input id=${path} type="checkbox" checked=${value === true || value === "true"}
        aria-describedby="${path}-help" onChange=${(event) => set(path, event.target.checked)} />${setting.label}</label>
      ${error && html`<div class="error"><${Icon} name="alert" /><span>${error}</span></div>`}
      <div class="help" id="${path}-help">${setting.help}</div>
    </div>`;
  }
  return html`<${Field} id=${path} label=${setting.label} help=${help ?? setting.help} error=${error}>
    ${setting.choices
      ? html`<select value=${value} onChange=${(event) => set(path, event.target.value)}>
          ${setting.choices.map(([choice, word]) => html`<option key=${choice} value=${choice}>${word}</option>`)}
          ${!setting.choices.some(([choice]) => String(choice) === String(value)) && html`<option value=${value}>${value}</option>`}
        </select>`
      : html`<input inputmode=${setting.kind ? "decimal" : undefined} autocomplete="off" value=${value}
          placeholder=${isSet(setting.initial) ? setting.initial : ""} onInput=${(event) => set(path, event.target.value.trim())} />`}
  <//>`;
}

function Prompts({ draft, change, error }) {
  const write = (event) => change((before) => ({ ...before, prompts: event.target.value }));
  return html`<${Field} id="sample_prompts" label="Sample prompts" error=${error}
    help="The model answers them before training and at every evaluation. Up to 8, with a line --- between them.">
    <textarea class="mono" rows="4" spellcheck=${false} value=${draft.prompts} onInput=${write}></textarea>
  <//>`;
}

// What differs from the server's defaults, in a line.
function brief(settings, values) {
  const changed = settings.filter(({ path, kind }) => isChanged(path, kind === "yes" ? values[path] === true || undefined : plain(values[path])));
  return changed.map(({ path, label }) => `${label} ${values[path]}`).join(" · ") || "as usual";
}

const plain = (value) => (isSet(value) && Number.isFinite(Number(value)) ? Number(value) : value);
