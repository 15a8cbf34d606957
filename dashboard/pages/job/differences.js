// The settings in which jobs differ: what their curves may differ by.

import { html } from "htm/preact";
import { useAskAll } from "../../lib/api.js";
import { flat, MADE } from "../../lib/settings.js";
import { nameOf } from "../../lib/words.js";
import { Differing } from "../../parts/differing.js";

const OWN = new Set([...MADE, "adapter_name", "description"]);

export function Differences({ ids }) {
  const jobs = useAskAll(ids.map((id) => `/api/training/jobs/${encodeURIComponent(id)}`)).filter((job) => job.config);
  if (jobs.length < 2) return null;
  return html`<${Differing} named=${jobs.map((job) => [nameOf(job), new Map(flat(job.config))])} leftOut=${OWN} />`;
}
