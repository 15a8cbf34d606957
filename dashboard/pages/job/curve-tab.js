// The curves of a job, and of those that it is compared with: compare=ID,ID&smooth=0.6&x=step&y=log&from=…&to=…

import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { useAsk } from "../../lib/api.js";
import { FIGURES, has } from "../../lib/curves.js";
import { useEndedCurves } from "../../lib/ended-curves.js";
import { setQuery } from "../../lib/router.js";
import { useStore } from "../../lib/store.js";
import { useStreamed } from "../../lib/stream.js";
import { ENDED, nameOf } from "../../lib/words.js";
import { loadPlot } from "../../lib/library.js";
import { Button } from "../../parts/button.js";
import { Curve } from "../../parts/curve.js";
import { Failed } from "../../parts/small.js";
import { Differences } from "./differences.js";

const MOST = 8; // lines that can be told apart
const SMALL = Object.keys(FIGURES).filter((figure) => figure !== "loss");

export function CurveTab({ job, query }) {
  const others = [...new Set((query.compare ?? "").split(",").filter((id) => id && id !== job.job_id))].slice(0, MOST - 1);
  const ids = [job.job_id, ...others];
  const rows = useStore((state) => state.jobs);
  const isEnded = (id) => ENDED.includes((id === job.job_id ? job : rows.get(id))?.status);
  useStreamed({ curve: ids.filter((id) => !isEnded(id)) });
  useEndedCurves(ids.filter(isEnded), query.from !== undefined);
  const curves = useStore((state) => state.curves);
  const remove = (id) => setQuery({ compare: others.filter((other) => other !== id).join(",") });
  const runs = ids
    .map((id, n) => ({
      id,
      slot: n + 1,
      curve: curves.get(id),
      resumedFrom: n === 0 ? job.resumed_from_step : null,
      name: n === 0 ? nameOf(job) : nameOf(rows.get(id) ?? { job_id: id }),
      more: n === 0 ? null : html`<${Button} kind="bare" icon="cross" label="Compare no longer with ${id}" onPress=${() => remove(id)} />`,
    }))
    .filter((run) => run.curve?.length > 0);
  const shared = sharedOf(query);
  const library = useLibrary();

  return html`<section class="stack" aria-label="Curves">
    <${Choices} query=${query} job=${job} others=${others} />
    ${library.error && html`<${Failed} error=${library.error} again=${() => location.reload()} />`}
    ${!library.isHere ? null : runs.length === 0
      ? html`<p class="quiet">${job.status === "running" ? job.message ?? "The first point comes with the first log step." : "No point was logged."}</p>`
      : html`
          <${Curve} runs=${runs} figure="loss" weight=${shared.weight} isLog=${query.y === "log"} ...${shared.each} />
          <div class="grid-2">
            ${SMALL.filter((figure) => runs.some((run) => has(run.curve, figure))).map(
              (figure) => html`<${Curve} key=${figure} figure=${figure} isSmall=${true} ...${shared.each}
                runs=${runs.filter((run) => has(run.curve, figure))} />`,
            )}
          </div>
        `}
    ${others.length > 0 && html`<${Differences} ids=${ids} />`}
  </section>`;
}

function useLibrary() {
  const [library, setLibrary] = useState({ isHere: Boolean(globalThis.uPlot), error: null });
  useEffect(() => {
    loadPlot().then(() => setLibrary({ isHere: true, error: null }), (error) => setLibrary({ isHere: false, error }));
  }, []);
  return library;
}

function sharedOf(query) {
  const zoom = query.from !== undefined && query.to !== undefined ? [Number(query.from), Number(query.to)] : null;
  const onZoom = (range) => setQuery({ from: range && rounded(range[0]), to: range && rounded(range[1]) });
  const axis = ["step", "epoch", "tokens", "time"].includes(query.x) ? query.x : "step";
  const weight = Math.min(Math.max(Number(query.smooth ?? 0.6) || 0, 0), 0.99);
  return { weight, each: { axis, zoom, onZoom, sync: "job" } };
}

const rounded = (value) => Number(value.toPrecision(6));

function Choices({ query, job, others }) {
  const { data } = useAsk("/api/training/jobs?limit=50", job.status);
  const shown = Number(query.smooth ?? 0.6);
  const offered = (data?.jobs ?? []).filter(({ job_id: id }) => id !== job.job_id && !others.includes(id));
  return html`<div class="row compact">
    <label>Smooth
      <input type="range" min="0" max="0.99" step="0.01" value=${shown} aria-valuetext=${shown.toFixed(2)}
        onInput=${(event) => setQuery({ smooth: event.target.value })} />
      <span class="figures">${shown.toFixed(2)}</span>
    </label>
    <label>Along
      <select value=${query.x ?? "step"} onChange=${(event) => setQuery({ x: event.target.value, from: "", to: "" })}>
        <option value="step">steps</option><option value="epoch">epochs</option>
        <option value="tokens">tokens</option><option value="time">minutes</option>
      </select>
    </label>
    <label>Scale
      <select value=${query.y ?? ""} onChange=${(event) => setQuery({ y: event.target.value })}>
        <option value="">linear</option><option value="log">logarithmic</option>
      </select>
    </label>
    ${others.length < MOST - 1 && offered.length > 0 &&
    html`<label>Compare with
      <select value="" onChange=${(event) => setQuery({ compare: [...others, event.target.value].join(",") })}>
        <option value="">another job…</option>
        ${offered.map((one) => html`<option key=${one.job_id} value=${one.job_id}>${nameOf(one)} (${one.model_name})</option>`)}
      </select>
    </label>`}
  </div>`;
}
