// Curves as columns: one array of numbers for each figure, which grow at their end as the run does.

import { change } from "./store.js";

let columns = [];

// The names of what stands in a point, in its order; the server says them first.
export function setColumns(names) {
  if (names) columns = names;
}

export function addPoints(job, reset, points) {
  const curve = (reset ? null : curves.get(job)) ?? { columns: Object.fromEntries(columns.map((name) => [name, []])), version: 0 };
  for (const point of points) columns.forEach((name, at) => curve.columns[name].push(point[at] ?? null));
  put(job, curve.columns, (curves.get(job)?.version ?? 0) + 1);
}

// A curve as a whole, as the server sends those that do not grow: a list of each figure that it has.
export function putCurve(job, found) {
  put(job, { ...Object.fromEntries(columns.map((name) => [name, []])), ...found }, (curves.get(job)?.version ?? 0) + 1);
}

export function forgetCurves(isKept) {
  for (const job of curves.keys()) if (!isKept(job)) curves.delete(job);
  show();
}

const curves = new Map();
let isWaiting = false;

function put(job, found, version) {
  curves.set(job, { columns: found, length: found.step?.length ?? 0, version });
  show();
}

// A long curve comes in many parts: what is on the screen changes once a frame, with all that has come by then.
function show() {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    change({ curves: new Map(curves) });
  });
}

export const FIGURES = {
  loss: { title: "Loss", unit: "", evaluation: "eval_loss" },
  learning_rate: { title: "Learning rate", unit: "" },
  grad_norm: { title: "Gradient norm", unit: "" },
  tokens_per_second: { title: "Tokens a second", unit: "tok/s" },
  memory_mb: { title: "Memory", unit: "MiB" },
  eval_token_accuracy: { title: "Token accuracy of evaluations", unit: "" },
  rewards_accuracies: { title: "Preferred answers ranked first", unit: "", evaluation: "eval_rewards_accuracies" },
  rewards_margins: { title: "Reward margin", unit: "", evaluation: "eval_rewards_margins" },
};

// Whether a curve has any value of a figure.
export const has = (curve, figure) => Boolean(curve?.columns[figure]?.some((value) => value !== null));

// What the points stand on: "step", "epoch", "tokens" (learned so far) or "time" (minutes of training).
export function positions(curve, axis) {
  const { step, epoch, tokens = [], elapsed_s: elapsed = [] } = curve.columns;
  if (axis === "epoch") return epoch;
  if (axis === "time") return filled(elapsed.map((seconds) => (seconds === null ? null : seconds / 60)));
  if (axis !== "tokens") return step;
  let sum = 0;
  return tokens.map((count) => (sum += count ?? 0));
}

// An evaluation's line has no time of its own: it is that of the line before.
function filled(values) {
  let last = 0;
  return values.map((value) => (last = value ?? last));
}

// Time-weighted exponential mean: a step's weight falls with its distance, so runs that log more or less often are
// smoothed alike. `weight` in [0, 1): 0 leaves the line as it is. Gaps stay gaps.
export function smoothed(xs, ys, weight) {
  if (!weight) return ys;
  const first = xs.find((x, at) => ys[at] !== null) ?? 0;
  const places = Math.min(200, xs.length); // the range as 200 places, however many more points there are
  const spread = (xs[xs.length - 1] - first) / places || 1;
  const keep = Math.min(Math.sqrt(weight), 0.999);
  let mean = 0;
  let mass = 0;
  let before = first;
  return ys.map((y, at) => {
    if (y === null) return null;
    const fading = keep ** Math.max((xs[at] - before) / spread, 0);
    before = xs[at];
    mean = mean * fading + y;
    mass = mass * fading + 1;
    return mean / mass;
  });
}
