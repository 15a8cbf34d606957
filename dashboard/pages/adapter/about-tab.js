// How an adapter was trained; beside others (with=NAME,NAME) what they differ in.

import { html } from "htm/preact";
import { useAskAll } from "../../lib/api.js";
import { figure } from "../../lib/format.js";
import { isChanged, SETTINGS } from "../../lib/settings.js";
import { pathOf } from "../../parts/adapter-actions.js";
import { Differing } from "../../parts/differing.js";
import { SettingPairs } from "../../parts/setting-pairs.js";
import { Facts } from "../../parts/small.js";

// An adapter's record has all settings in one place: r, not lora_config.r.
const LABELS = new Map(SETTINGS.map(({ path, label }) => [path.split(".").at(-1), label]));
const PLACES = ["", "lora_config.", "training_config."];
const SAY_NOTHING = new Set(["data_sha256", "eval_sha256", "task_type"]);

export function AboutTab({ adapter, query }) {
  const others = (query.with ?? "").split(",").filter((name) => name && name !== adapter.name);
  const pairs = Object.entries(adapter.training_config).filter(([name]) => !SAY_NOTHING.has(name));
  return html`<section class="stack" aria-label="Settings">
    ${others.length > 0 && html`<${Beside} adapter=${adapter} others=${others} />`}
    ${pairs.length === 0
      ? html`<p class="quiet">It was trained elsewhere: its settings are not known.</p>`
      : html`<h2>As it was trained</h2>
          <${SettingPairs} pairs=${pairs} isChanged=${isOther} labels=${LABELS} />`}
  </section>`;
}

// It does not say which of its settings was a job's lora_config's.
const isOther = (name, value) => PLACES.every((place) => isChanged(place + name, value));

function Beside({ adapter, others }) {
  const all = [adapter, ...useAskAll(others.map((name) => pathOf(name)))];
  if (all.length < 2) return null;
  return html`
    <${Differing} named=${all.map((one) => [one.name, new Map(Object.entries(one.training_config))])} leftOut=${SAY_NOTHING} />
    <div class="panel"><${Facts}
      facts=${all.map(({ name, metrics }) => [`Loss of ${name}`, figure(metrics.eval_loss ?? metrics.final_loss)])} /></div>
  `;
}
