// The ends of the logs that are looked at.

import { change, read } from "./store.js";

const MOST = 256 * 1024; // characters; the file is named on the page

export function addLog(job, reset, text) {
  const whole = (reset ? "" : (read().logs.get(job) ?? "")) + text;
  change({ logs: new Map(read().logs).set(job, whole.slice(-MOST)) });
}

export function forgetLogs(isKept) {
  const logs = new Map([...read().logs].filter(([job]) => isKept(job)));
  if (logs.size !== read().logs.size) change({ logs });
}

// Lines as a terminal would show them: of a bar that is written over and over, its last state.
export const lines = (text) =>
  text
    .replace(/\n$/, "")
    .split("\n")
    .map((line) => line.replace(/\r$/, "").replace(/^.*\r/, ""));
