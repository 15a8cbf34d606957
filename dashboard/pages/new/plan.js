// The plan beside the form: examples, steps, memory, time, before anything is started.

import { html } from "htm/preact";
import { useAsk } from "../../lib/api.js";
import { clock, duration, memory, number, plural } from "../../lib/format.js";
import { inWords } from "../../lib/settings.js";
import { useStore } from "../../lib/store.js";
import { Button } from "../../parts/button.js";
import { Note } from "../../parts/small.js";

// `onRemedy` takes the changes with which it would fit.
export function Plan({ plan, onRemedy }) {
  const { forecast: found, isOld, isAsked } = plan;
  return html`<section class="panel stack" aria-labelledby="plan">
    <div class="row apart"><h2 id="plan">Plan</h2>
      <span class="small quiet" role="status">${isAsked ? "computing…" : found && !isOld ? "of the form as it is" : ""}</span></div>
    ${found
      ? html`<div class=${isOld ? "stack old" : "stack"}><${Forecast} found=${found} onRemedy=${onRemedy} /></div>`
      : html`<p class="quiet">${isAsked
          ? "It takes some seconds: the model is looked at, not trained."
          : "Choose a model and data: then this says how long it takes, and whether it fits."}</p>`}
  </section>`;
}

// Where there is no room for the plan beside the form: what it comes to.
export function inShort({ forecast: found, isOld, isAsked }) {
  if (isAsked) return "Plan: computing…";
  if (!found || isOld) return "Plan: none yet";
  if (!found.fits) return "Plan: it is not expected to fit";
  return [
    "Plan: it fits",
    plural(found.total_steps, "step"),
    found.peak_memory_mb !== null && memory(found.peak_memory_mb),
    found.estimated_minutes !== null && `about ${duration(Math.max(found.estimated_minutes * 60, 1))}`,
  ].filter(Boolean).join(" · ");
}

function Forecast({ found, onRemedy }) {
  const unread = found.tokens_per_epoch - found.learned_tokens_per_epoch;
  const share = found.tokens_per_epoch ? found.learned_tokens_per_epoch / found.tokens_per_epoch : 0;
  const minutes = found.estimated_minutes;
  return html`
    ${!found.fits && html`<${Note} tone="bad"><p>${found.advice}</p>
      ${found.remedy && html`<p><${Button} onPress=${() => onRemedy(found.remedy)}>Make it ${inWords(found.remedy)}<//></p>`}<//>`}
    <dl class="pairs plan figures">
      <dt>Examples</dt>
      <dd>${number(found.num_examples)}${found.num_eval_examples > 0 && `, ${number(found.num_eval_examples)} held out`}
        <div class="small quiet">${[
          found.num_truncated > 0 && `${number(found.num_truncated)} cut at ${number(found.max_seq_length)} tokens`,
          found.num_dropped > 0 && `${number(found.num_dropped)} left out`,
        ].filter(Boolean).join(" · ")}</div></dd>
      <dt>Tokens</dt>
      <dd>${number(found.tokens_per_epoch)} an epoch<div class="small quiet">${number(Math.round(share * 100))} % of them learned${unread > 0 ? ", the rest read" : ""}</div></dd>
      <dt>Steps</dt>
      <dd>${number(found.total_steps)}<div class="small quiet">${number(found.steps_per_epoch)} an epoch, warm-up ${number(found.warmup_steps)}</div></dd>
      ${found.peak_memory_mb !== null && html`<dt>Memory</dt>
        <dd>${memory(found.peak_memory_mb)} of ${memory(found.available_memory_mb)}, fits
          <${Gauge} used=${found.peak_memory_mb} all=${found.available_memory_mb} /></dd>`}
      ${minutes !== null && html`<dt>Time</dt>
        <dd>about ${duration(Math.max(minutes * 60, 1))}<div class="small quiet"><${Begin} seconds=${minutes * 60} /></div></dd>`}
      <dt>Adapter</dt>
      <dd>${plural(found.trained_parameters, "parameter")}<div class="small quiet">about ${megabytes(found.trained_parameters * 4)} MB</div></dd>
    </dl>`;
}

const Gauge = ({ used, all }) => html`<div class="bar" aria-hidden="true"><i style=${{ width: `${Math.min(100, (100 * used) / all)}%` }}></i></div>`;

const megabytes = (bytes) => number(bytes / 1e6, bytes < 1e7 ? 1 : 0);

// When it would begin, and be done if it began now.
function Begin({ seconds }) {
  const { data } = useAsk("/api/health");
  const jobs = useStore((state) => state.jobs);
  const before = [...jobs.values()].filter((job) => job.status === "pending" || job.status === "running");
  if (data?.slots.total === 0) return "this server only queues jobs";
  if (!data || before.length < data.slots.total) return `starts at once, ready about ${clock(Date.now() + seconds * 1000)}`;
  return `starts after ${plural(before.length, "job")}`;
}
