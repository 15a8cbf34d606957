// A curve: the plot for eyes and pointers, a slider for keys and screen readers, a sentence, and the points as a table.

import { html } from "htm/preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { FIGURES } from "../lib/curves.js";
import { figure as inWords, memory, number, place } from "../lib/format.js";
import { linesOf, nearest, resumedAt, sentenceOf, thinned } from "../lib/lines.js";
import { draw, redraw } from "../lib/plot.js";
import { csv, saveFile } from "../lib/save.js";
import { Button } from "./button.js";
import { CurveTable } from "./curve-table.js";
import { Legend } from "./curve-legend.js";

const AXES = { step: "step", epoch: "epoch", tokens: "tokens learned", time: "minutes" };

// `runs`: [{id, name, curve, slot}]; `zoom` is [from, to] or null, and `onZoom` is told of another. `isSmall`: without
// the tools and the legend.
export function Curve({ runs, figure, axis, weight = 0, isLog = false, zoom, onZoom, sync, isSmall = false }) {
  const version = runs.map((run) => `${run.id}.${run.curve.version}`).join(" ");
  const { data: whole, lines } = useMemo(() => linesOf(runs, figure, axis, weight), [version, figure, axis, weight]);
  const data = useMemo(() => thinned(whole, zoom), [whole, zoom?.[0], zoom?.[1]]);
  const sentence = useMemo(
    () => runs.map((run) => sentenceOf(run, figure, { number, figure: inWords })).join(" "),
    [version, figure, runs.map((run) => run.name).join(" ")],
  );
  const [at, setAt] = useState(null);
  const [asTable, setAsTable] = useState(false);
  const mark = resumedAt(runs[0], axis);
  const plot = usePlot({ data, lines, height: isSmall ? 130 : 320, isLog, mark, zoom, sync, onCursor: setAt, onZoom });
  const { title } = FIGURES[figure];
  const xs = data[0];
  const last = xs.length - 1;
  const here = Math.min(at ?? last, last);
  const move = (index) => {
    setAt(index);
    plot.instance.current?.setCursor({ left: plot.instance.current.valToPos(xs[index], "x"), top: 40 });
  };
  const zooming = useZooming(whole[0], xs[here], zoom, onZoom);
  const name = `${title} by ${AXES[axis]}`;
  const show = figure === "memory_mb" ? memory : figure === "tokens_per_second" ? number : inWords;

  return html`<figure class="curve panel" onKeyDown=${(event) => zooming.key(event, () => setAsTable(!asTable))}>
    <div class="row apart">
      ${isSmall ? html`<h3>${title}</h3>` : html`<h2>${title}</h2>`}
      ${isSmall
        ? html`<span class="figures">${lines.length > 0 && show(valueAt(data, lines, here, runs[0]))}</span>`
        : html`<${Tools} zooming=${zooming} asTable=${asTable} onTable=${() => setAsTable(!asTable)}
            onCsv=${() => saveFile(`${figure}.csv`, asCsv(runs, figure), "text/csv")}
            onPng=${() => asPng(plot.box.current, `${figure}.png`)} />`}
    </div>
    <div class="plot" ref=${plot.box}></div>
    ${last >= 0 &&
    html`<input class="cursor" type="range" min="0" max=${last} value=${here} aria-label="Point of ${name}"
      aria-valuetext=${spoken(data, lines, here, axis)} onInput=${(event) => move(Number(event.target.value))} />`}
    ${!isSmall && html`<${Legend} data=${data} lines=${lines} runs=${runs} at=${here} axis=${AXES[axis]} />`}
    <figcaption class=${isSmall ? "hidden" : ""}>${sentence}</figcaption>
    ${asTable && html`<${CurveTable} data=${data} lines=${lines} axis=${AXES[axis]} title=${title} />`}
  </figure>`;
}

function Tools({ zooming, asTable, onTable, onCsv, onPng }) {
  return html`<div class="row" role="group" aria-label="The curve">
    <${Button} kind="bare" icon="plus" label="Zoom in" onPress=${zooming.closer} />
    <${Button} kind="bare" icon="minus" label="Zoom out" onPress=${zooming.wider} disabled=${!zooming.isZoomed} />
    <${Button} kind="bare" icon="fit" label="Show all" onPress=${zooming.all} disabled=${!zooming.isZoomed} />
    <${Button} kind="bare" aria-pressed=${asTable} onPress=${onTable}>Table<//>
    <${Button} kind="bare" onPress=${onCsv}>CSV<//>
    <${Button} kind="bare" onPress=${onPng}>PNG<//>
  </div>`;
}

// The plot in its box: drawn anew when it is another one, fed when its points are.
function usePlot({ data, lines, height, isLog, mark, zoom, sync, onCursor, onZoom }) {
  const box = useRef();
  const instance = useRef(null);
  const tell = useRef();
  tell.current = { onCursor, onZoom };
  const [theme, setTheme] = useState(0);
  useEffect(() => {
    const look = () => setTheme((n) => n + 1);
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", look);
    addEventListener("themechange", look);
    return () => {
      system.removeEventListener("change", look);
      removeEventListener("themechange", look);
    };
  }, []);
  const shape = lines.map(({ run, kind, slot }) => `${run.id} ${kind} ${slot}`).join("|");
  useEffect(() => {
    const told = {
      onCursor: (at) => tell.current.onCursor(at),
      onZoom: (range) => tell.current.onZoom(range),
    };
    const space = box.current;
    instance.current = draw(space, { data, lines, height, isLog, mark, zoom, sync, ...told });
    const fit = new ResizeObserver(() => instance.current?.setSize({ width: Math.max(space.clientWidth, 200), height }));
    fit.observe(space);
    return () => {
      fit.disconnect();
      instance.current.destroy();
      instance.current = null;
    };
  }, [shape, height, isLog, sync, theme]);
  useEffect(() => {
    const { data: drawn, lathe: shown } = instance.current;
    if (drawn !== data || shown.zoom !== zoom || shown.mark !== mark) redraw(instance.current, data, zoom, mark);
  }, [data, zoom?.[0], zoom?.[1], mark]);
  return { box, instance };
}

// A drag's ways for those who do not drag: buttons, and keys while the focus is in the curve.
function useZooming(xs, here, zoom, onZoom) {
  const whole = [xs[0], xs[xs.length - 1]];
  const [from, to] = zoom ?? whole;
  const scale = (factor) => {
    const middle = Math.min(Math.max(here ?? (from + to) / 2, from), to);
    const next = [Math.max(middle - (middle - from) * factor, whole[0]), Math.min(middle + (to - middle) * factor, whole[1])];
    onZoom(next[0] <= whole[0] && next[1] >= whole[1] ? null : next);
  };
  const closer = () => scale(0.5);
  const wider = () => scale(2);
  const all = () => onZoom(null);
  const key = (event, onTable) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { "+": closer, "=": closer, "-": wider, 0: all, t: onTable, T: onTable }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };
  return { closer, wider, all, key, isZoomed: zoom !== null };
}

function valueAt(data, lines, at, run) {
  const column = lines.findIndex((line) => line.run.id === run.id && line.kind === "line") + 1;
  return column > 0 ? nearest(data[column], at) : null;
}

function spoken(data, lines, at, axis) {
  const parts = lines
    .map((line, n) => [line, data[n + 1][at]])
    .filter(([line, value]) => line.kind !== "raw" && value !== null && value !== undefined)
    .map(([line, value]) => `${line.run.name}${line.kind === "evaluation" ? " evaluation" : ""} ${inWords(value)}`);
  return `${AXES[axis]} ${place(data[0][at])}: ${parts.join(", ") || "no value"}`;
}

function asCsv(runs, figure) {
  const { evaluation } = FIGURES[figure];
  const names = ["step", "epoch", "elapsed_s", figure, ...(evaluation ? [evaluation] : [])];
  const rows = runs.flatMap((run) =>
    run.curve.columns.step.map((_, n) => [run.name, ...names.map((name) => run.curve.columns[name]?.[n])]),
  );
  return csv(["job", ...names], rows);
}

function asPng(box, name) {
  const drawn = box.querySelector("canvas");
  const picture = document.createElement("canvas");
  picture.width = drawn.width;
  picture.height = drawn.height;
  const context = picture.getContext("2d");
  context.fillStyle = getComputedStyle(box.closest(".panel")).backgroundColor;
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(drawn, 0, 0);
  picture.toBlob((blob) => saveFile(name, blob));
}
