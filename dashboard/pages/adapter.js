// #/adapters/NAME?tab=…: one adapter, how it was trained, whether it is better than its base, and files for elsewhere.

import { html } from "htm/preact";
import { useAsk } from "../lib/api.js";
import { ago, duration, figure, number, size } from "../lib/format.js";
import { address, go } from "../lib/router.js";
import { useGoing } from "../lib/going.js";
import { useStore } from "../lib/store.js";
import { besideBase, DeleteAdapters, LoadButton, pathOf } from "../parts/adapter-actions.js";
import { LinkButton } from "../parts/button.js";
import { Facts, Failed, Heading, Note, Reading, Tabs, useTitle } from "../parts/small.js";
import { AboutTab } from "./adapter/about-tab.js";
import { Describe, Rename } from "./adapter/change.js";
import { EvaluateTab } from "./adapter/evaluate-tab.js";
import { ExportTab } from "./adapter/export-tab.js";
import { Loaded, Tags } from "./adapters.js";

const TABS = { about: AboutTab, evaluate: EvaluateTab, export: ExportTab };
const WORDS = [["about", "Settings"], ["evaluate", "Evaluate"], ["export", "Export"]];

export function View({ path: [name], query }) {
  const changes = useStore((state) => state.adapterChanges);
  const [key, going] = useGoing(changes);
  const { data: adapter, error, again } = useAsk(pathOf(name), key);
  useTitle(name);
  if (error && (!adapter || error.status === 404)) return html`<${Heading}>Adapter ${name}<//><${Failed} error=${error} again=${again} />`;
  if (!adapter) return html`<${Heading}>${name}<//><${Reading} />`;
  const tab = TABS[query.tab] ? query.tab : "about";
  const Tab = TABS[tab];
  const to = (other) => address(["adapters", name], { tab: other === "about" ? "" : other });
  return html`
    <${Head} adapter=${adapter} again=${again} going=${going} />
    ${adapter.problem && html`<${Note} tone="bad">It cannot be loaded: ${adapter.problem}<//>`}
    <section class="panel stack" aria-label="What it is">
      <div class="row apart nowrap">
        ${adapter.description
          ? html`<p class="said grow" dir="auto">${adapter.description}</p>`
          : html`<p class="quiet">No description.</p>`}
        <${Describe} adapter=${adapter} onDone=${again} />
      </div>
      ${adapter.tags.length > 0 && html`<${Tags} tags=${adapter.tags} />`}
      <${Figures} adapter=${adapter} />
    </section>
    <${Tabs} label="Parts of the adapter" tabs=${WORDS} current=${tab} to=${to} />
    <${Tab} adapter=${adapter} query=${query} />
  `;
}

function Head({ adapter, again, going }) {
  return html`<div class="stack" style=${{ gap: "4px" }}>
    <a class="small" href="#/adapters">‹ Adapters</a>
    <div class="head">
      <${Heading}>${adapter.name}<//>
      ${adapter.is_loaded && html`<${Loaded} />`}
      <div class="end">
        <${LinkButton} kind="main" icon="chat" href=${besideBase([adapter])}>Compare with the base<//>
        <${LoadButton} adapter=${adapter} onDone=${again} />
        <${Rename} adapter=${adapter} going=${going} />
        <${DeleteAdapters} adapters=${[adapter]} word="" kind="bare" label="Delete this adapter" going=${going}
          onDone=${() => go(["adapters"])} />
      </div>
    </div>
    <p class="quiet small wrap">${adapter.model_name} · <code>${adapter.path}</code> · made ${ago(adapter.created_at)}${
      adapter.job_id && html` by <${ItsJob} id=${adapter.job_id} />`}</p>
  </div>`;
}

// With what it learned from, where the job is still there to say so.
function ItsJob({ id }) {
  const { data, error } = useAsk(`/api/training/jobs/${encodeURIComponent(id)}`);
  if (error?.status === 404) return `job ${id}, which is deleted`;
  const dataset = data?.config?.dataset_name;
  return html`<a href=${address(["jobs", id])}>job ${id}</a>${
    dataset && html` from the data set <a href=${address(["data", dataset])}>${dataset}</a>`}`;
}

function Figures({ adapter: { metrics, size_mb: megabytes, init_adapter: origin } }) {
  const minutes = metrics.training_time_minutes;
  return html`<${Facts} facts=${[
    ["Loss", metrics.final_loss === null ? null : figure(metrics.final_loss)],
    ["Eval loss", metrics.eval_loss === null ? null : figure(metrics.eval_loss)],
    ["Steps", metrics.training_steps === null ? null : number(metrics.training_steps)],
    ["Best step", metrics.best_step === null ? null : number(metrics.best_step)],
    ["Trained for", minutes === null ? null : duration(minutes * 60)],
    ["Size", size(megabytes)],
    ["Goes on from", origin && html`<a href=${address(["adapters", origin.name])}>${origin.name}</a>`],
  ]} />`;
}
