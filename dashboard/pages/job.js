// #/jobs/ID?tab=…: one job. What it is and how far stays on top; the tabs hold the rest.

import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { remove, useAsk } from "../lib/api.js";
import { together } from "../lib/jobs.js";
import { address, go } from "../lib/router.js";
import { useStore } from "../lib/store.js";
import { ago, duration, figure, memory, number, took, when } from "../lib/format.js";
import { ENDED, MAY_CLOSE, nameOf, STATES } from "../lib/words.js";
import { inWords } from "../lib/settings.js";
import { LinkButton } from "../parts/button.js";
import { AskFirst } from "../parts/dialog.js";
import { Actions, Progress, waitsFor } from "../parts/job-cards.js";
import { Facts, Failed, Heading, Note, State, Tabs, useTitle } from "../parts/small.js";
import { CurveTab } from "./job/curve-tab.js";
import { FilesTab } from "./job/files-tab.js";
import { LogTab } from "./job/log-tab.js";
import { SamplesTab } from "./job/samples-tab.js";
import { SettingsTab } from "./job/settings-tab.js";

const TABS = { curve: CurveTab, log: LogTab, settings: SettingsTab, samples: SamplesTab, files: FilesTab };
const WORDS = [["curve", "Curve"], ["log", "Log"], ["settings", "Settings"], ["samples", "Samples"], ["files", "Files"]];

export function View({ path: [id], query }) {
  const row = useStore((state) => state.jobs.get(id));
  const adapterChanges = useStore((state) => state.adapterChanges);
  const { data, error, again } = useAsk(`/api/training/jobs/${encodeURIComponent(id)}`, `${row?.status} ${adapterChanges}`);
  const job = data && together(data, row);
  const percent = job?.status === "running" ? `${Math.floor(job.progress)} % · ` : "";
  useTitle(job ? `${percent}${nameOf(job)}` : "Job");
  if (error && !data) return html`<${Heading}>Job ${id}<//><${Failed} error=${error} again=${again} />`;
  if (!job) return html`<${Heading}>Job<//>`;
  const tab = TABS[query.tab] ? query.tab : "curve";
  const Tab = TABS[tab];
  const to = (name) => address(["jobs", id], { ...query, tab: name === "curve" ? "" : name });
  return html`
    <${Head} job=${job} />
    <${Standing} job=${job} />
    <${Tabs} label="Parts of the job" tabs=${WORDS} current=${tab} to=${to} />
    <${Tab} job=${job} query=${query} />
  `;
}

function Head({ job }) {
  const erase = async () => {
    await remove(`/api/training/jobs/${encodeURIComponent(job.job_id)}`);
    go(["jobs"]);
  };
  const dataset = job.config?.dataset_name;
  return html`<div class="stack" style=${{ gap: "4px" }}>
    <a class="small" href="#/jobs">‹ Jobs</a>
    <div class="head">
      <${Heading}>${nameOf(job)}<//>
      <${State} status=${job.status} />
      <div class="end">
        <${Actions} job=${job} />
        <${LinkButton} href=${address(["new"], { from: job.job_id })}>Same settings again<//>
        ${ENDED.includes(job.status) &&
        html`<${AskFirst} icon="bin" kind="bare" label="Delete this job" title="Delete ${nameOf(job)}?" yes="Delete" onYes=${erase}>
          <p>Its folder goes, with its data, log and checkpoints. An adapter that it has published stays.</p>
        <//>`}
      </div>
    </div>
    <p class="quiet small wrap">${job.model_name}${dataset && html` on <a href=${address(["data", dataset])}>${dataset}</a>`} · job ${job.job_id} · made ${ago(job.created_at)}${job.description && ` · ${job.description}`}</p>
  </div>`;
}

function Standing({ job }) {
  useClock(job.status === "running");
  return html`<section class="panel stack" aria-label="Where it stands">
    <${Progress} job=${job} />
    <div class="row apart"><${Facts} facts=${[
      ["Loss", figure(job.loss)],
      ["Eval loss", job.eval_loss == null ? null : figure(job.eval_loss)],
      ["Speed", job.tokens_per_second == null ? null : `${number(job.tokens_per_second)} tok/s`],
      ["Memory", job.memory_mb == null ? null : memory(job.memory_mb)],
      [job.status === "running" ? "Runs for" : "Took", took(job) === null ? null : duration(took(job))],
      ["Ended", job.completed_at ? when(job.completed_at) : null],
    ]} />
      ${job.status !== "failed" && html`<${Sentence} job=${job} />`}
    </div>
    ${job.status === "failed" && html`<${FailedJob} job=${job} />`}
  </section>`;
}

function Sentence({ job }) {
  if (job.status === "running") return html`<p class="small quiet">${MAY_CLOSE}</p>`;
  if (job.status === "pending" || job.status === "paused") return html`<p class="small">${waitsFor(job)}</p>`;
  if (job.status === "completed") return html`<${Completed} job=${job} />`;
  return html`<p class="small quiet">${STATES[job.status]?.word}${job.step ? ` after step ${number(job.step)}` : ""}</p>`;
}

function Completed({ job }) {
  const name = job.adapters[0]; // it may have been renamed since
  const compare = address(["play"], { models: `${job.model_name},${name}`, ...firstQuestion(job) });
  return html`<div class="row">
    ${name
      ? html`<${LinkButton} kind="main" icon="chat" href=${compare}>Compare with the base<//>
          <${LinkButton} icon="layers" href=${address(["adapters", name])}>The adapter<//>`
      : html`<span class="small quiet">Its adapter has been deleted.</span>`}
    ${job.stopped_early && html`<span class="small wrap">${job.stopped_early}</span>`}
  </div>`;
}

// What the job has answered on its way is what one wants to ask first.
function firstQuestion(job) {
  const prompt = job.config?.sample_prompts?.[0];
  if (typeof prompt === "string") return { ask: prompt, as: "text" };
  return { ask: prompt?.findLast((turn) => turn.role === "user")?.content };
}

function FailedJob({ job }) {
  const [reason, ...rest] = (job.error_message ?? "It failed without a reason").trim().split("\n");
  const { data } = useAsk(`/api/training/logs/${encodeURIComponent(job.job_id)}?lines=20`, job.completed_at);
  const end = rest.length > 0 ? rest : (data?.lines ?? []);
  return html`<${Note} tone="bad">
    <p>${reason}</p>
    ${job.remedy && html`<p><${LinkButton} kind="main" href=${address(["new"], { from: job.job_id, ...job.remedy })}>
      Start again with ${inWords(job.remedy)}<//></p>`}
    ${end.length > 0 &&
    html`<details open><summary>The end of its log</summary><pre class="log" tabindex="0" aria-label="The end of its log">${end.join("\n")}</pre></details>`}
  <//>`;
}

// Drawn anew each second while time matters.
function useClock(isOn) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!isOn) return undefined;
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [isOn]);
}

