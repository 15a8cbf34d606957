// uPlot as this dashboard draws: colours from the style sheet, and the figures as everywhere.

import { figure, number } from "./format.js";
import { rangeOf } from "./lines.js";

// What the style sheet says of a class, as colours that a canvas takes.
function coloursOf(box) {
  const probe = document.createElement("i");
  box.append(probe);
  const of = (name) => {
    probe.className = name;
    return getComputedStyle(probe).color;
  };
  const lines = [1, 2, 3, 4, 5, 6, 7, 8].map((slot) => of(`stroke-${slot}`));
  const found = { text: of("probe"), grid: of("probe-grid"), lines };
  probe.remove();
  return found;
}

// `mark` is a place on the axis where a line stands, and in a large plot the word "resumed", or null. `zoom` is [from, to]
// or null for all. `onCursor` gets the index of the point under the pointer, or null; `onZoom` the range that was drawn
// with it.
export function draw(box, { data, lines, height, isLog, mark, zoom, sync, onCursor, onZoom }) {
  const colours = coloursOf(box);
  const font = "12px system-ui, sans-serif";
  const axis = { stroke: colours.text, font, grid: { stroke: colours.grid, width: 1 }, ticks: { stroke: colours.grid, width: 1, size: 4 } };
  const shown = { zoom, mark };
  const options = {
    width: Math.max(box.clientWidth, 200),
    height,
    legend: { show: false },
    padding: [8, 18, 0, 0],
    cursor: {
      sync: sync ? { key: sync, setSeries: false } : undefined,
      drag: { x: true, y: false, setScale: false },
      points: { size: 7 },
    },
    scales: {
      x: { time: false, range: (_, low, high) => shown.zoom ?? (low === high ? [low - 1, high + 1] : [low, high]) },
      y: { distr: isLog ? 3 : 1, range: (plot) => yRange(plot, shown.zoom, isLog) },
    },
    axes: [
      { ...axis, size: 30, gap: 3, values: (_, values) => values.map((value) => short(value)) },
      { ...axis, size: 52, gap: 4, space: height < 200 ? 20 : 30, values: (_, values) => values.map((value) => short(value, isLog ? 3 : 6)) },
    ],
    series: [{}, ...lines.map((line) => seriesOf(line, colours))],
    hooks: {
      draw: [(plot) => drawMark(plot, shown.mark, colours.text, height < 200 ? "" : "resumed")],
      setCursor: [(plot) => onCursor(plot.cursor.left >= 0 ? plot.cursor.idx : null)],
      setSelect: [(plot) => select(plot, onZoom)],
    },
  };
  const plot = new globalThis.uPlot(options, data, box);
  plot.root.setAttribute("aria-hidden", "true");
  plot.lathe = shown;
  return plot;
}

export function redraw(plot, data, zoom, mark) {
  Object.assign(plot.lathe, { zoom, mark });
  plot.setData(data, true);
}

function seriesOf({ kind, slot, dash }, colours) {
  const stroke = colours.lines[slot - 1];
  if (kind === "evaluation") return { stroke, width: 1.5, dash, points: { show: true, size: 6, fill: stroke, stroke } };
  if (kind === "raw") return { stroke, width: 1, alpha: 0.3, points: { show: false } };
  return { stroke, width: 2, dash, points: { show: (_, __, from, to) => to - from < 2 } };
}

function drawMark({ ctx: context, bbox, scales, valToPos }, mark, colour, word) {
  if (mark === null || mark < scales.x.min || mark > scales.x.max) return;
  const ratio = devicePixelRatio;
  const left = Math.round(valToPos(mark, "x", true));
  context.save();
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = ratio;
  context.setLineDash([3 * ratio, 3 * ratio]);
  context.beginPath();
  context.moveTo(left, bbox.top);
  context.lineTo(left, bbox.top + bbox.height);
  context.stroke();
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  context.textBaseline = "top";
  const isLate = left > bbox.left + bbox.width / 2; // the word stands where there is room for it
  context.textAlign = isLate ? "right" : "left";
  context.fillText(word, left + (isLate ? -4 : 4) * ratio, bbox.top);
  context.restore();
}

function yRange(plot, zoom, isLog) {
  const xs = plot.data[0];
  if (xs.length === 0) return [isLog ? 0.1 : 0, 1];
  const [from, to] = zoom ?? [xs[0], xs[xs.length - 1]];
  const [low, high] = rangeOf(plot.data, from, to, zoom === null);
  if (isLog) return [Math.max(low, 1e-12) * 0.95, Math.max(high, 1e-12) * 1.05];
  const room = (high - low) * 0.06;
  return [low >= 0 ? Math.max(low - room, 0) : low - room, high + room];
}

function select(plot, onZoom) {
  const { left, width } = plot.select;
  if (width < 4) return;
  onZoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}

function short(value, digits = 6) {
  if (value === null) return "";
  const size = Math.abs(value);
  if (size >= 1e6) return `${number(value / 1e6, 1)} M`;
  if (size >= 1000) return number(value);
  return size !== 0 && size < 0.001 ? figure(value).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(digits)));
}
