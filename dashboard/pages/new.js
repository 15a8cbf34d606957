// #/new?model=…&dataset=…&from=JOB&training_config.max_seq_length=…: a form, and beside it what the training would take.

import { html } from "htm/preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { get, post } from "../lib/api.js";
import { bodyOf, forget, fresh, fromJob, save, saved } from "../lib/draft.js";
import { fieldOf } from "../lib/jobs.js";
import { go, setQuery } from "../lib/router.js";
import { asCurl, SETTINGS } from "../lib/settings.js";
import { Button, CopyButton } from "../parts/button.js";
import { Dialog } from "../parts/dialog.js";
import { Failed, Heading, Note, useTitle } from "../parts/small.js";
import { inShort, Plan } from "./new/plan.js";
import { Rows } from "./new/rows.js";
import { Setting, Settings } from "./new/settings.js";
import { Also } from "./new/also.js";
import { Model } from "./new/model.js";
import { usePlan } from "./new/use-plan.js";

const PATHS = SETTINGS.map(({ path }) => path);
const NAMED = [...PATHS, "train_texts", "sample_prompts"];

export function View({ query }) {
  useTitle("New job");
  const { draft, change, error } = useDraft(query);
  if (error) return html`<${Heading}>New job<//><${Failed} error=${error} again=${() => location.reload()} />`;
  return html`<div class="head">
      <${Heading}>New job<//>
      <div class="end">
        <${Button} kind="bare" onPress=${() => change(() => fresh())}>Begin anew<//>
      </div>
    </div>
    ${draft && html`<${Form} draft=${draft} change=${change} />`}`;
}

function Form({ draft, change }) {
  const form = useRef();
  const [refusal, setRefusal] = useState(null);
  const [asksAnyway, setAsksAnyway] = useState(false);
  const body = bodyOf(draft);
  const plan = usePlan(body, draft);
  const wrong = refusal ?? plan.refusal;
  const field = wrong && placeOf(fieldOf(wrong.message, NAMED));
  const set = (path, value) => {
    setRefusal(null);
    change((before) => ({ ...before, values: { ...before.values, [path]: value } }));
  };
  const start = async () => {
    setRefusal(null);
    try {
      const { job_id: id } = await post("/api/training/start", body);
      forget();
      go(["jobs", id]);
    } catch (error) {
      setRefusal(error);
      const place = placeOf(fieldOf(error.message, NAMED));
      form.current.querySelector(`[id="${place}"]`)?.closest("details")?.setAttribute("open", "");
      (form.current.querySelector(`[id="${place}"]`) ?? form.current.querySelector("[role=alert]"))?.focus();
    }
  };
  const press = () => (plan.forecast?.fits === false && !plan.isOld ? setAsksAnyway(true) : start());
  const isWorking = useRef(false);
  useCtrlEnter(async () => {
    if (isWorking.current) return;
    isWorking.current = true;
    await press();
    isWorking.current = false;
  });
  const each = { values: draft.values, set, wrong: field && { path: field, sentence: wrong.message } };

  return html`<div class="beside" ref=${form}>
    <div class="stack form">
      <div class="panel stack">
        <${Model} ...${each} />
        <${Rows} draft=${draft} change=${change} ...${each} />
        <div class="grid-fields">
          <${Setting} path="adapter_name" ...${each} help="What the adapter will be called. Empty: the job's id." />
          <${Setting} path="training_config.validation_split" ...${each} />
        </div>
      </div>
      <${Settings} group="LoRA" ...${each} />
      <${Settings} group="Training" ...${each} />
      <${Settings} group="More" ...${each} draft=${draft} change=${change} />
      <${Also} draft=${draft} change=${change} />
    </div>
    <aside class="stack" aria-label="Plan">
      <${Plan} plan=${plan} onRemedy=${(changes) => Object.entries(changes).forEach(([path, value]) => set(path, String(value)))} />
      ${wrong && !field && html`<${Note} tone="bad" role="alert" tabindex="-1">${wrong.message}<//>`}
      ${wrong && field && html`<p class="small bad">${labelOf(field)} needs a look: see there.</p>`}
      <div class="launch">
        <p class="small in-short figures">${inShort(plan)}</p>
        <div class="row">
          <${Button} kind="main" icon="play" onPress=${press}>Start training<//>
          <${CopyButton} text=${() => asCurl("/api/training/start", body)}>As curl<//>
        </div>
      </div>
      <p class="small quiet"><span class="key">Ctrl</span> <span class="key">Enter</span> starts it, too. What you fill in is kept in this browser.</p>
    </aside>
    ${asksAnyway &&
    html`<${Dialog} title="It is not expected to fit" yes="Start anyway" onYes=${start} onClose=${() => setAsksAnyway(false)}>
      <p>${plan.forecast.advice}</p>
    <//>`}
  </div>`;
}

// Wherever the focus is on the page, as soon as the form is seen.
function useCtrlEnter(act) {
  const newest = useRef();
  newest.current = act;
  useLayoutEffect(() => {
    const keys = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) newest.current();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
}

const placeOf = (path) => (path === "train_texts" || path === "dataset_name" ? "rows" : path);
const labelOf = (path) => SETTINGS.find((one) => one.path === path)?.label ?? { rows: "The data", sample_prompts: "Sample prompts" }[path] ?? path;

// The form as it was left, or as the address says: from=JOB is one with a job's settings, and a setting by its own name
// is changed in it. Then the address says no more, so that a reload finds the form as it is by then.
function useDraft(query) {
  const [draft, setDraft] = useState(null);
  const [error, setError] = useState(null);
  const isHere = useRef(false);
  useEffect(() => {
    const asked = Object.keys(query);
    if (asked.length === 0 && isHere.current) return;
    const begin = (found) => {
      const next = changed(found, query);
      isHere.current = true;
      save(next);
      setDraft(next);
      setQuery(Object.fromEntries(asked.map((name) => [name, ""])));
    };
    if (query.from) {
      get(`/api/training/jobs/${encodeURIComponent(query.from)}`).then((job) => begin(fromJob(job)), setError);
    } else begin(saved() ?? fresh());
  }, [JSON.stringify(query)]);
  useLayoutEffect(() => { // a reload may come at once
    if (draft) save(draft);
  }, [draft]);
  return { draft, change: setDraft, error };
}

function changed(draft, { model, dataset, ...query }) {
  const values = { ...draft.values };
  if (model) values.model_name = model;
  if (dataset) values.dataset_name = dataset;
  for (const path of PATHS) if (query[path]) values[path] = query[path];
  return { ...draft, source: dataset ? "dataset" : draft.source, values };
}
