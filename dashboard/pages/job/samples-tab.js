// What the model has answered to the job's prompts on its way.

import { html } from "htm/preact";
import { useAsk } from "../../lib/api.js";
import { number } from "../../lib/format.js";
import { Failed } from "../../parts/small.js";

export function SamplesTab({ job }) {
  const { data, error, again } = useAsk(
    `/api/training/samples/${encodeURIComponent(job.job_id)}`,
    `${job.status} ${Math.floor(job.progress)}`,
  );
  if (error && !data) return html`<${Failed} error=${error} again=${again} />`;
  if (!data) return null;
  if (data.total === 0) {
    return html`<p class="quiet">${job.config?.sample_prompts?.length
      ? "No answer yet: the first ones come before step 1."
      : "This job has no sample prompts. Give it some under “Sample prompts” when you start one: it then answers them at every evaluation."}</p>`;
  }
  const prompts = [...Map.groupBy(data.samples, (sample) => JSON.stringify(sample.prompt)).values()];
  return html`<div class="stack">
    ${prompts.map((samples) => html`<${Prompt} key=${JSON.stringify(samples[0].prompt)} samples=${samples} />`)}
  </div>`;
}

function Prompt({ samples }) {
  const { prompt } = samples[0];
  return html`<section class="panel stack">
    <h2>Prompt</h2>
    <div class="code said mono" dir="auto">${typeof prompt === "string" ? prompt : prompt.map((turn) => `${turn.role}: ${turn.content}`).join("\n")}</div>
    <ol class="answers">
      ${[...samples].reverse().map(
        (sample) => html`<li key=${sample.step}>
          <h3>${sample.step === 0 ? "Before training" : `Step ${number(sample.step)}`}</h3>
          <div class="said mono" dir="auto">${sample.answer || html`<span class="quiet">nothing</span>`}${sample.finish_reason === "length" ? " …" : ""}</div>
        </li>`,
      )}
    </ol>
  </section>`;
}
