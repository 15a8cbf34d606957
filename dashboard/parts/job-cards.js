// Jobs that run, as cards, and jobs that wait, with what they wait for.

import { html } from "htm/preact";
import { post } from "../lib/api.js";
import { address } from "../lib/router.js";
import { clock, duration, figure, memory, number, ordinal, plural } from "../lib/format.js";
import { nameOf } from "../lib/words.js";
import { Button, LinkButton } from "./button.js";
import { AskFirst } from "./dialog.js";
import { Bar, Facts, Spark, State } from "./small.js";
import { Table } from "./table.js";

const act = (verb, job) => post(`/api/training/${verb}/${encodeURIComponent(job.job_id)}`);

// When it will be done, as far as that can be said.
export function left(job) {
  if (job.eta_s === null || job.eta_s === undefined) return null;
  return `${duration(job.eta_s)} left, done about ${clock(Date.now() + job.eta_s * 1000)}`;
}

export function RunningJob({ job }) {
  return html`<article class="panel job" aria-label=${nameOf(job)}>
    <div class="row apart">
      <div class="row">
        <a class="name" href=${address(["jobs", job.job_id])}>${nameOf(job)}</a>
        <span class="quiet wrap">${job.model_name}</span>
      </div>
      <${State} status=${job.status} />
    </div>
    <${Progress} job=${job} />
    <div class="row apart">
      <${Facts} facts=${[
        ["Loss", figure(job.loss)],
        ["Eval loss", job.eval_loss == null ? null : figure(job.eval_loss)],
        ["Speed", job.tokens_per_second == null ? null : `${number(job.tokens_per_second)} tok/s`],
        ["Memory", job.memory_mb == null ? null : memory(job.memory_mb)],
      ]} />
      <${Spark} values=${job.spark} />
      <div class="row">
        <${Actions} job=${job} />
        <${LinkButton} href=${address(["jobs", job.job_id])}>Open<//>
      </div>
    </div>
  </article>`;
}

export function Progress({ job }) {
  const tone = { completed: "good", failed: "bad", cancelled: "quiet", pending: "quiet", paused: "quiet" }[job.status];
  const steps = job.total_steps
    ? `step ${number(job.step)} of ${number(job.total_steps)}`
    : job.status === "running" ? "no step yet" : "";
  const epoch = job.epoch == null ? "" : ` · epoch ${number(job.epoch, 1)}${job.num_epochs ? ` of ${job.num_epochs}` : ""}`;
  return html`<div class="stack" style=${{ gap: "6px" }}>
    <div class="row"><span class="percent">${number(Math.floor(job.progress))} %</span>
      <div style=${{ flex: 1 }}><${Bar} percent=${job.progress} tone=${tone} label="Progress of ${nameOf(job)}" /></div></div>
    <div class="row apart small quiet figures">
      <span>${job.message ?? `${steps}${epoch}`}</span>
      ${job.status === "running" && html`<span>${left(job) ?? ""}</span>`}
    </div>
  </div>`;
}

export function Actions({ job }) {
  const unfinished = ["running", "pending", "paused"].includes(job.status);
  const resumable = ["paused", "failed", "cancelled"].includes(job.status);
  return html`
    ${job.status === "running" && html`<${Button} icon="pause" onPress=${() => act("pause", job)}>Pause<//>`}
    ${resumable &&
    html`<${Button} icon="again" onPress=${() => act("resume", job)}>
      ${job.step ? `Resume from step ${number(job.step)}` : "Try again"}
    <//>`}
    ${unfinished &&
    html`<${AskFirst} icon="stop" word="Stop" title="Stop ${nameOf(job)}?" yes="Stop the job" onYes=${() => act("stop", job)}>
      <p>It is saved where it is, and can be resumed from there. It makes no adapter until then.</p>
    <//>`}
  `;
}

export function WaitingJobs({ jobs, total }) {
  const columns = [
    { key: "at", label: "Place", cell: (job) => (job.queue_position ? ordinal(job.queue_position) : "–") },
    { key: "name", label: "Name", kind: "lead", cell: (job) => html`<a href=${address(["jobs", job.job_id])}>${nameOf(job)}</a>` },
    { key: "model", label: "Base", cell: (job) => html`<span class="wrap">${job.model_name || "–"}</span>` },
    { key: "state", label: "State", cell: (job) => html`<${State} status=${job.status} />`, plain: true },
    { key: "why", label: "Why", kind: "wide", cell: (job) => html`<span class="wrap small">${waitsFor(job)}</span>` },
    { key: "do", label: "Actions", plain: true, kind: "wide", cell: (job) => html`<div class="acts"><${Actions} job=${job} /></div>` },
  ];
  return html`<section class="stack" aria-labelledby="waiting">
    <h2 id="waiting">Waiting</h2>
    <div class="panel flush">
      <${Table} caption="Jobs that wait, in the order in which they start" columns=${columns} rows=${jobs}
        idOf=${(job) => job.job_id} />
    </div>
    ${total > jobs.length && html`<p class="quiet small">and ${plural(total - jobs.length, "more", "more")}</p>`}
  </section>`;
}

export const waitsFor = (job) =>
  job.error_message ?? job.queue_reason ?? (job.status === "paused" ? "Goes on when you resume it" : "Waits for its turn");
