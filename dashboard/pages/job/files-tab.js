// Where everything lies: a job is a folder that one can read.

import { html } from "htm/preact";
import { CopyButton } from "../../parts/button.js";

const FILES = [
  ["job.json", "what to do: the model, the settings, the seed"],
  ["data/train.jsonl", "the job's own copy of its rows"],
  ["data/eval.jsonl", "rows that it is evaluated on, where it has some"],
  ["status.json", "where it stands"],
  ["metrics.jsonl", "the curve, one line a log step"],
  ["samples.jsonl", "its answers to the sample prompts"],
  ["train.log", "what the trainer has printed"],
  ["checkpoints/", "what a run goes on from after it was cut off"],
  ["adapter/", "the finished adapter, in PEFT's format"],
];

export function FilesTab({ job }) {
  const folder = `training_jobs/job_${job.job_id}`;
  const metrics = `/api/training/metrics/${encodeURIComponent(job.job_id)}`;
  return html`<section class="stack" aria-label="Files">
    <div class="row apart"><code>${folder}/</code><${CopyButton} text=${folder}>Copy the path<//></div>
    <div class="panel"><dl class="pairs">
      ${FILES.map(([name, what]) => html`<dt key=${name}><code>${name}</code></dt><dd>${what}</dd>`)}
    </dl></div>
    <p class="small">Over HTTP: <a href=${metrics}>the curve as JSON</a>, <a href="${metrics}?format=csv">as CSV</a>.</p>
    <p class="small quiet">To train it by hand and watch it: <code>python -m runtime.trainer ${folder}</code></p>
  </section>`;
}
