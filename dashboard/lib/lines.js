// From curves to the lines of a plot: one table of numbers for uPlot, and what each of its columns is.

import { FIGURES, has, positions, smoothed } from "./curves.js";

const DASHES = [[], [], [], [8, 4], [2, 4], [8, 4, 2, 4], [12, 4], [4, 4]];

// `runs`: [{id, name, curve, slot}]. Of a figure each run gives its raw line, with `weight` a smoothed one before it, and
// its evaluations as dots. Returns {data, lines}: `lines` says of each column but the first {run, kind, slot, dash}.
export function linesOf(runs, figure, axis, weight) {
  const tables = [];
  const lines = [];
  for (const run of runs) {
    const { xs, ys } = pointsOf(run.curve, figure, axis);
    const dash = DASHES[run.slot - 1] ?? [];
    if (xs.length > 0) {
      tables.push(weight ? [xs, ys, smoothed(xs, ys, weight)] : [xs, ys]);
      lines.push({ run, kind: weight ? "raw" : "line", slot: run.slot, dash });
      if (weight) lines.push({ run, kind: "line", slot: run.slot, dash });
    }
    const { evaluation } = FIGURES[figure];
    if (evaluation && has(run.curve, evaluation)) {
      const found = pointsOf(run.curve, evaluation, axis);
      tables.push([found.xs, found.ys]);
      lines.push({ run, kind: "evaluation", slot: run.slot, dash: [4, 4] });
    }
  }
  if (tables.length === 0) return { data: [[]], lines };
  return { data: tables.length === 1 ? tables[0] : globalThis.uPlot.join(tables), lines };
}

// The points of a figure in the order of the run. A training line without its figure was not a number: a gap.
export function pointsOf(curve, figure, axis) {
  const values = curve.columns[figure];
  const at = positions(curve, axis);
  const isEvaluation = figure.startsWith("eval_");
  const rates = curve.columns.learning_rate;
  const xs = [];
  const ys = [];
  for (let n = 0; n < values.length; n += 1) {
    const isLine = values[n] !== null || (!isEvaluation && rates[n] !== null);
    if (!isLine || at[n] === null || at[n] <= xs[xs.length - 1]) continue;
    xs.push(at[n]);
    ys.push(values[n]);
  }
  return { xs, ys };
}

// Where on the axis the newest run of a job went on from; null where it began at the beginning.
export function resumedAt({ curve, resumedFrom }, axis) {
  if (!resumedFrom) return null;
  return positions(curve, axis)[curve.columns.step.findLastIndex((step) => step <= resumedFrom)] ?? null;
}

// The lowest and the highest value to show: of the part of the data that is looked at, without a run's first hundredth,
// whose loss would flatten all that follows.
export function rangeOf(data, from, to, isWhole) {
  const xs = data[0];
  const start = isWhole && xs.length > 200 ? xs[Math.floor(xs.length / 100)] : from;
  let low = Infinity;
  let high = -Infinity;
  for (let n = 0; n < xs.length; n += 1) {
    if (xs[n] < start || xs[n] > to) continue;
    for (let line = 1; line < data.length; line += 1) {
      const value = data[line][n];
      if (value === null || value === undefined) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return [0, 1];
  return low === high ? [low - Math.abs(low) * 0.1 - 1e-12, high + Math.abs(high) * 0.1 + 1e-12] : [low, high];
}

// What a curve says in a sentence, for those who do not look at it, and for those who do.
export function sentenceOf(run, figure, words) {
  const { xs, ys } = pointsOf(run.curve, figure, "step");
  const known = ys.map((y, n) => [xs[n], y]).filter(([, y]) => y !== null);
  if (known.length === 0) return `${run.name} has no point yet.`;
  const [first, last] = [known[0], known[known.length - 1]];
  const steps = `${words.number(last[0])} ${last[0] === 1 ? "step" : "steps"}`;
  const moved = last[1] < first[1] ? "fell" : last[1] > first[1] ? "rose" : "stayed";
  let sentence = `${FIGURES[figure].title} of ${run.name} ${moved} from ${words.figure(first[1])} to ${words.figure(last[1])} in ${steps}.`;
  const { evaluation } = FIGURES[figure];
  if (evaluation && has(run.curve, evaluation)) {
    const found = pointsOf(run.curve, evaluation, "step");
    const best = found.ys.reduce((kept, y, n) => (kept < 0 || y < found.ys[kept] ? n : kept), -1);
    if (evaluation === "eval_loss") sentence += ` Lowest evaluation loss ${words.figure(found.ys[best])} at step ${words.number(found.xs[best])}.`;
  }
  if (run.resumedFrom) sentence += ` Resumed from step ${words.number(run.resumedFrom)}.`;
  const holes = ys.filter((y) => y === null).length;
  return holes ? `${sentence} At ${words.number(holes)} of its points it was not a number.` : sentence;
}

// The value at a place, or the last one before it: runs do not all log at the same steps.
export function nearest(values, at) {
  for (let n = at; n >= 0; n -= 1) if (values[n] !== null && values[n] !== undefined) return values[n];
  return null;
}

const PLACES = 1000; // about as many as a plot has pixels

// What can be told apart on a screen: of a stretch of many points, in each of a thousand places, every line's lowest and
// highest one, and where it has a gap. Spikes stay. Few points are left as they are.
export function thinned(data, zoom) {
  const xs = data[0];
  const [start, end] = zoom ? [Math.max(placeOf(xs, zoom[0]) - 1, 0), Math.min(placeOf(xs, zoom[1]) + 2, xs.length)] : [0, xs.length];
  if (end - start <= 4 * PLACES) return xs.length <= 4 * PLACES ? data : data.map((column) => column.slice(start, end));
  const width = (xs[end - 1] - xs[start]) / PLACES || 1;
  const kept = [];
  let from = start;
  while (from < end) {
    const limit = xs[from] + width;
    let to = from;
    while (to < end && xs[to] < limit) to += 1;
    kept.push(...tellingOf(data, from, Math.max(to, from + 1)));
    from = Math.max(to, from + 1);
  }
  return data.map((column) => kept.map((n) => column[n]));
}

// The indexes of the points between two that say what each line does there, in order.
function tellingOf(data, from, to) {
  const found = new Set([from, to - 1]);
  for (let line = 1; line < data.length; line += 1) {
    const values = data[line];
    let low = -1;
    let high = -1;
    for (let n = from; n < to; n += 1) {
      const value = values[n];
      if (value === null) found.add(n);
      if (value === null || value === undefined) continue;
      if (low < 0 || value < values[low]) low = n;
      if (high < 0 || value > values[high]) high = n;
    }
    if (low >= 0) found.add(low).add(high);
  }
  return [...found].sort((a, b) => a - b);
}

// The first index whose place is not before x.
function placeOf(xs, x) {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}
