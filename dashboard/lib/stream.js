// One event stream a tab. Its event id is a cursor into the server's own files: whatever happens in between (sleep, a
// killed server, a hidden tab), the next stream goes on where the last one was, and nothing comes twice.

import { useEffect } from "preact/hooks";
import { get } from "./api.js";
import { change, read, say } from "./store.js";
import { addPoints, forgetCurves, setColumns } from "./curves.js";
import { forget, jobs as given } from "./given.js";
import { addLog, forgetLogs } from "./logs.js";
import { endingOf } from "./words.js";

const SILENCE_MS = 25_000; // the server beats after 10 s of silence: two beats may be lost
const LONGEST_WAIT_MS = 15_000;
const GLANCE_MS = 60_000;

const wanted = new Map(); // what each component on the page wants to be told of
let source = null;
let opened = ""; // what the open stream was asked for
let cursor = null;
let failures = 0;
let timer = 0;

// Have the curve of these jobs, and the log of this one, for as long as the component is on the page.
export function useStreamed({ curve = [], log = null }) {
  const key = [...curve, "", log].join(" ");
  useEffect(() => {
    const me = {};
    wanted.set(me, { curve, log });
    soon();
    return () => {
      wanted.delete(me);
      soon();
    };
  }, [key]);
}

let holds = 0;
const isSeen = () => !document.hidden && holds === 0;

// A browser opens six connections to a server, over all tabs: whoever needs many at once has this one closed meanwhile.
// Returns what opens it again, where it was.
export function hold() {
  holds += 1;
  sleep();
  let isOver = false;
  return () => {
    if (isOver) return;
    isOver = true;
    holds -= 1;
    if (isSeen()) open();
  };
}

export function start() {
  document.addEventListener("visibilitychange", () => (isSeen() ? open() : sleep()));
  addEventListener("online", () => isSeen() && open());
  if (isSeen()) soon();
}

let scheduled = false;
function soon() {
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => {
    scheduled = false;
    if (isSeen() && (source === null || opened !== asked())) open();
  });
}

function asked() {
  const curve = [...new Set([...wanted.values()].flatMap((want) => want.curve))].sort();
  const log = [...wanted.values()].map((want) => want.log).find(Boolean);
  const parameters = {};
  if (curve.length) parameters.curve = curve.join(",");
  if (log) parameters.log = log;
  return new URLSearchParams(parameters).toString();
}

const following = (id) => [...wanted.values()].some((want) => want.curve.includes(id));

function open() {
  close();
  opened = asked();
  const known = cursor === null ? [] : [`after=${encodeURIComponent(cursor)}`];
  forgetCurves((id) => !following(id) || cursor?.includes(`c.${id}=`));
  forgetLogs((id) => cursor?.includes(`l.${id}=`));
  const query = [opened, ...known].filter(Boolean).join("&");
  source = new EventSource(`/api/events${query && `?${query}`}`);
  for (const [kind, take] of Object.entries(KINDS)) source.addEventListener(kind, (event) => hear(event, take));
  source.onerror = lose;
  watch();
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

// A tab that is not seen has no stream. Its title goes on: what runs is asked for once a minute.
function sleep() {
  close();
  if (document.hidden) timer = setTimeout(glance, GLANCE_MS);
  change({ connection: { state: "asleep", since: Date.now() } });
}

async function glance() {
  const running = await get("/api/training/jobs?status=running&limit=20").catch(() => ({ jobs: [] }));
  if (isSeen()) return;
  const jobs = new Map(read().jobs);
  for (const job of running.jobs) jobs.set(job.job_id, { ...jobs.get(job.job_id), ...job });
  change({ jobs });
  timer = setTimeout(glance, GLANCE_MS);
}

function hear(event, take) {
  if (event.target !== source) return;
  failures = 0;
  if (event.lastEventId !== "") cursor = event.lastEventId;
  const { connection } = read();
  if (connection.state !== "live") {
    change({ connection: { state: "live", since: Date.now() } });
    if (connection.state === "lost") say("The connection is back.");
  }
  take(JSON.parse(event.data));
  watch();
}

function watch() {
  clearTimeout(timer);
  timer = setTimeout(lose, SILENCE_MS);
}

function lose() {
  close();
  const { connection } = read();
  if (connection.state !== "lost") {
    change({ connection: { state: "lost", since: Date.now() } });
    if (connection.state === "live") say("The connection is lost. Trying again.");
  }
  timer = setTimeout(open, Math.min(LONGEST_WAIT_MS, 1000 * 2 ** failures));
  failures += 1;
}

const KINDS = {
  hello(greeting) {
    const before = read().hello;
    forget();
    setColumns(greeting.columns);
    const isOther = before !== null && before.boot !== greeting.boot;
    change({
      hello: greeting,
      greetings: read().greetings + (isOther ? 1 : 0),
      outdated: before !== null && before.version !== greeting.version ? greeting.version : read().outdated,
    });
  },
  // After a reset `changed` is the list's first page, and whatever else was known may be otherwise now. The first one
  // says again what the page came with, unless something has happened in between.
  jobs({ reset, changed, gone }) {
    const known = read().jobs;
    const jobs = new Map(reset ? [] : known);
    const isSame = (job) => known.get(job.job_id)?.status === job.status;
    const isAsGiven = known === given && known.size === changed.length && changed.every(isSame);
    let endings = read().endings + (reset && !isAsGiven ? 1 : 0);
    for (const job of changed) {
      const before = known.get(job.job_id);
      jobs.set(job.job_id, { ...before, ...job });
      if (!isSame(job)) endings += 1;
      const sentence = before && endingOf(before, job);
      if (sentence) say(sentence);
    }
    for (const id of gone) jobs.delete(id);
    change({ jobs, endings: endings + gone.length });
  },
  adapters() {
    change({ adapterChanges: read().adapterChanges + 1 });
  },
  data() {
    change({ dataChanges: read().dataChanges + 1 });
  },
  points: ({ job, reset, points }) => addPoints(job, reset, points),
  log: ({ job, reset, text }) => addLog(job, reset, text),
  machine: (machine) => change({ machine }),
  beat() {},
};
