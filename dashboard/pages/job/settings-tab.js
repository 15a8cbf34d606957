// What the job was told, by job.json, the changed settings first; what that leaves to the run is as the run found it.

import { html } from "htm/preact";
import { asCurl, flat, isChanged, isSet, MADE, requestOf, SETTINGS } from "../../lib/settings.js";
import { CopyButton } from "../../parts/button.js";
import { SettingPairs } from "../../parts/setting-pairs.js";
import { Note } from "../../parts/small.js";

const LABELS = new Map(SETTINGS.map(({ path, label }) => [path, label]));

export function SettingsTab({ job }) {
  const record = job.config;
  if (!record) return html`<${Note} tone="warn">The job's settings cannot be read: ${job.error_message ?? "job.json is broken"}<//>`;
  const told = flat(record).filter(([path]) => !MADE.has(path.split(".")[0]));
  const changed = new Set(told.filter(([path, value]) => isChanged(path, value)).map(([path]) => path));
  const found = (path) => job.resolved?.[path.split(".").at(-1)];
  const all = told.map(([path, value]) => [path, isSet(value) ? value : found(path)]);
  return html`<section class="stack" aria-label="Settings">
    <div class="row apart">
      <h2>As the run has them</h2>
      <${CopyButton} text=${() => asCurl("/api/training/start", requestOf(job.written ?? record))}>Copy as curl<//>
    </div>
    <${SettingPairs} pairs=${all} isChanged=${(path) => changed.has(path)} labels=${LABELS} />
    <p class="small quiet">From <code>training_jobs/job_${job.job_id}/job.json</code></p>
  </section>`;
}
