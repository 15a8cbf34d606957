// The words that more than one page uses. What a single page says stands in that page.

import { figure } from "./format.js";

export const STATES = {
  running: { word: "running", icon: "play", tone: "live" },
  pending: { word: "waiting", icon: "clock", tone: "quiet" },
  paused: { word: "paused", icon: "pause", tone: "warn" },
  completed: { word: "completed", icon: "check", tone: "good" },
  failed: { word: "failed", icon: "cross", tone: "bad" },
  cancelled: { word: "cancelled", icon: "stop", tone: "quiet" },
};

export const ENDED = ["completed", "failed", "cancelled"];
export const UNFINISHED = ["running", "pending", "paused"];

export const nameOf = (job) => job.adapter_name || job.job_id;

// What a screen reader is told when a job ends; nothing for other changes.
export function endingOf(before, job) {
  if (before.status === job.status || !ENDED.includes(job.status)) return null;
  const loss = job.status === "completed" && job.loss !== null ? `, loss ${figure(job.loss)}` : "";
  return `${nameOf(job)} ${STATES[job.status].word}${loss}.`;
}

export const MAY_CLOSE = "You may close this page; the job goes on.";

export const PAGES = [
  { path: "jobs", word: "Jobs", icon: "jobs" },
  { path: "adapters", word: "Adapters", icon: "layers" },
  { path: "play", word: "Play", icon: "chat" },
  { path: "data", word: "Data", icon: "rows" },
  { path: "machine", word: "Machine", icon: "chip" },
];
