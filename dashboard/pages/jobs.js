// #/jobs?status=…&dataset=…&after=…: what runs, what waits, and what has ended.

import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, query as search, remove, useAsk } from "../lib/api.js";
import { take } from "../lib/given.js";
import { address, go, setQuery } from "../lib/router.js";
import { change, read, useStore } from "../lib/store.js";
import { ago, duration, figure, number, plural, took, when } from "../lib/format.js";
import { ENDED, nameOf, STATES, UNFINISHED } from "../lib/words.js";
import { AskFirst } from "../parts/dialog.js";
import { Button, LinkButton } from "../parts/button.js";
import { RunningJob, WaitingJobs } from "../parts/job-cards.js";
import { Failed, Heading, Note, Spark, State, useTitle } from "../parts/small.js";
import { Table } from "../parts/table.js";
import { FirstVisit } from "./first.js";

const PAGE = 50;
const UNFINISHED_PATHS = UNFINISHED.map((status) => `/api/training/jobs${search({ status, limit: 20 })}`);
const waitingIn = ([, pending, paused]) => pending.total + paused.total;

export function View({ query }) {
  const endings = useStore((state) => state.endings);
  const jobs = useStore((state) => state.jobs);
  const { data, error, again } = useAsk(
    `/api/training/jobs${search({ limit: PAGE, status: query.status, q: query.q, dataset_name: query.dataset, after: query.after })}`,
    endings,
  );
  const totalWaiting = useUnfinished(endings);
  useTitle("Jobs");

  if (error && !data) return html`<${Head} /><${Failed} error=${error} again=${again} />`;
  if (!data) return html`<${Head} />`;
  const isFirst = data.complete && data.total === 0 && !query.status && !query.q && !query.dataset && !query.after;
  if (isFirst) return html`<${FirstVisit} />`;
  const now = [...jobs.values()];
  const running = now.filter((job) => job.status === "running").sort(oldestFirst);
  const waiting = now.filter((job) => job.status === "pending" || job.status === "paused").sort(oldestFirst);
  const listed = data.jobs.map((job) => jobs.get(job.job_id) ?? job);
  const ended = listed.filter((job) => ENDED.includes(job.status));
  if (query.dataset) return html`<${Head} /><${Listed} jobs=${listed} total=${data.total} next=${data.next} query=${query} />`;
  return html`<${Head} />
    ${!data.complete && html`<${Note}>The server has just started and still reads the job folders.<//>`}
    ${running.map((job) => html`<${RunningJob} key=${job.job_id} job=${job} />`)}
    ${waiting.length > 0 && html`<${WaitingJobs} jobs=${waiting} total=${totalWaiting} />`}
    <${Listed} jobs=${ended} total=${data.total} next=${data.next} query=${query} />`;
}

const Head = () => html`<div class="head">
  <${Heading}>Jobs<//>
  <div class="end"><${LinkButton} kind="main" icon="plus" href="#/new">New job<//></div>
</div>`;

const oldestFirst = (a, b) => (a.queue_position ?? 1e9) - (b.queue_position ?? 1e9) || (a.created_at < b.created_at ? -1 : 1);

// Jobs that run or wait may be older than the page of the list that is shown: they are asked for by their state.
// The first time the page came with them. Otherwise all three are put to use together: a job that goes from one to another
// is never missing in between.
function useUnfinished(key) {
  const greetings = useStore((state) => state.greetings);
  const [given] = useState(() => UNFINISHED_PATHS.map(take));
  const isGiven = useRef(!given.includes(null));
  const [waiting, setWaiting] = useState(() => (isGiven.current ? waitingIn(given) : 0));
  useEffect(() => {
    const isThere = isGiven.current;
    isGiven.current = false;
    if (isThere) return undefined;
    const leaving = new AbortController();
    Promise.all(UNFINISHED_PATHS.map((path) => get(path, leaving.signal))).then((answers) => {
      const known = new Map(read().jobs);
      const found = answers.flatMap((answer) => answer.jobs);
      const ids = new Set(found.map((job) => job.job_id));
      for (const job of known.values()) {
        if (!ENDED.includes(job.status) && !ids.has(job.job_id)) known.delete(job.job_id);
      }
      for (const job of found) known.set(job.job_id, { ...known.get(job.job_id), ...job });
      change({ jobs: known });
      setWaiting(waitingIn(answers));
    }, () => {}); // the list above says what is wrong
    return () => leaving.abort();
  }, [key, greetings]);
  return waiting;
}

// Those that have ended; with a data set in the address those that name it, in whichever state.
function Listed({ jobs, total, next, query }) {
  const [chosen, setChosen] = useState(new Set());
  const picked = jobs.filter((job) => chosen.has(job.job_id));
  const columns = [
    { key: "name", label: "Name", kind: "lead", cell: (job) => html`<a href=${address(["jobs", job.job_id])}>${nameOf(job)}</a>` },
    { key: "state", label: "State", kind: "wide", cell: (job) => html`<${State} status=${job.status} />${whyNot(job)}`, plain: true },
    { key: "model", label: "Base", cell: (job) => html`<div class="line" title=${job.model_name}>${job.model_name || "–"}</div>` },
    { key: "steps", label: "Steps", kind: "num off", cell: (job) => number(job.step) },
    { key: "loss", label: "Loss", kind: "num", cell: (job) => figure(job.loss) },
    { key: "eval", label: "Eval", kind: "num off", cell: (job) => figure(job.eval_loss) },
    { key: "took", label: "Took", kind: "num off", cell: (job) => duration(took(job)) },
    { key: "ended", label: "Ended", kind: "nowrap", cell: (job) => html`<time datetime=${job.completed_at} title=${when(job.completed_at)}>${ago(job.completed_at)}</time>` },
    { key: "curve", label: "Curve", cell: (job) => html`<${Spark} values=${job.spark} />`, plain: true },
  ];
  return html`<section class="stack" aria-labelledby="ended">
    <div class="row apart">
      <h2 id="ended">${query.dataset ? html`With the data set <a href=${address(["data", query.dataset])}>${query.dataset}</a>` : "Ended"}</h2>
      <div class="row compact" role="search">
        ${query.dataset && html`<${Button} icon="cross" onPress=${() => setQuery({ dataset: "", after: "", page: "" })}>All jobs<//>`}
        <label>Find
          <input type="search" value=${query.q ?? ""} onInput=${(event) => setQuery({ q: event.target.value, after: "", page: "" })} />
        </label>
        <label>Show
          <select value=${query.status ?? ""} onChange=${(event) => setQuery({ status: event.target.value, after: "", page: "" })}>
            <option value="">all</option>
            ${ENDED.map((status) => html`<option key=${status} value=${status}>${STATES[status].word}</option>`)}
          </select>
        </label>
      </div>
    </div>
    ${jobs.length === 0
      ? html`<p class="quiet">${query.q || query.status || query.dataset ? "No such job on this page." : "None yet."}</p>`
      : html`<div class="panel flush">
          <${Table} caption="Jobs, the newest first" columns=${columns} rows=${jobs}
            idOf=${(job) => job.job_id} nameOf=${nameOf} chosen=${chosen} onChoose=${setChosen} />
        </div>`}
    <${Chosen} jobs=${picked} onDone=${() => setChosen(new Set())} />
    <${Pages} total=${total} next=${next} query=${query} />
  </section>`;
}

const whyNot = (job) =>
  job.error_message && html`<div class="small quiet line" title=${job.error_message}>${job.error_message}</div>`;

function Chosen({ jobs, onDone }) {
  if (jobs.length === 0) return null;
  const [first, ...others] = jobs.map((job) => job.job_id);
  const removeAll = async () => {
    for (const job of jobs) await remove(`/api/training/jobs/${encodeURIComponent(job.job_id)}`);
    onDone();
  };
  return html`<div class="row" role="group" aria-label="Chosen jobs">
    <span>${plural(jobs.length, "job")} chosen</span>
    <${Button} disabled=${jobs.length < 2 || jobs.length > 8}
      onPress=${() => go(["jobs", first], { compare: others.join(",") })}>Compare curves<//>
    <${AskFirst} icon="bin" kind="danger" word="Delete…" title="Delete ${plural(jobs.length, "job")}?"
      yes="Delete" onYes=${removeAll}>
      <p>Their folders go, with data, logs and checkpoints. Adapters that they have published stay.</p>
      <ul>${jobs.slice(0, 8).map((job) => html`<li key=${job.job_id}>${nameOf(job)}</li>`)}</ul>
    <//>
  </div>`;
}

// The server's pages go one way: "back" is the browser's own.
function Pages({ total, next, query }) {
  const page = Number(query.page ?? 1);
  const { status, q, dataset } = query;
  if (page === 1 && next === null) return null;
  return html`<nav class="pages" aria-label="Pages of the list">
    <span class="quiet">page ${number(page)} of ${number(Math.ceil(total / PAGE))}, ${plural(total, "job")} in all</span>
    <span class="row">
      ${page > 1 && html`<${LinkButton} icon="left" href=${address(["jobs"], { status, q, dataset })}>Newest<//>`}
      ${next !== null &&
      html`<${LinkButton} href=${address(["jobs"], { status, q, dataset, after: next, page: page + 1 })}>Older<//>`}
    </span>
  </nav>`;
}
