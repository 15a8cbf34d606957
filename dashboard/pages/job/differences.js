// The settings in which jobs differ: what their curves may differ by.

import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "../../lib/api.js";
import { effective, flat, MADE, shown } from "../../lib/settings.js";
import { nameOf } from "../../lib/words.js";

const OWN = new Set([...MADE, "adapter_name", "description"]);

export function Differences({ ids }) {
  const [jobs, setJobs] = useState([]);
  useEffect(() => {
    const leaving = new AbortController();
    const asked = ids.map((id) => get(`/api/training/jobs/${encodeURIComponent(id)}`, leaving.signal));
    Promise.allSettled(asked).then((answers) => {
      if (!leaving.signal.aborted) setJobs(answers.filter((one) => one.value?.config).map((one) => one.value));
    });
    return () => leaving.abort();
  }, [ids.join(" ")]);
  if (jobs.length < 2) return null;
  const settings = jobs.map((job) => new Map(flat(job.config)));
  const paths = [...new Set(settings.flatMap((one) => [...one.keys()]))].filter((path) => !OWN.has(path));
  const differing = paths.filter((path) => {
    const values = settings.map((one) => JSON.stringify(effective(one, path)));
    return new Set(values).size > 1;
  });
  return html`<section class="stack" aria-labelledby="differences">
    <h2 id="differences">What they differ in</h2>
    ${differing.length === 0
      ? html`<p class="quiet">Their settings are the same.</p>`
      : html`<div class="panel flush" tabindex="0" role="group" aria-label="The table of settings"><table class="table">
          <thead><tr><th scope="col">Setting</th>${jobs.map((job) => html`<th scope="col" key=${job.job_id}>${nameOf(job)}</th>`)}</tr></thead>
          <tbody>${differing.map((path) => html`<tr key=${path}>
            <th scope="row"><code>${path}</code></th>
            ${settings.map((one) => html`<td class="wrap">${shown(effective(one, path))}</td>`)}
          </tr>`)}</tbody>
        </table></div>`}
  </section>`;
}
