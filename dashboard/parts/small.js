// Small things that many pages show.

import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import { STATES } from "../lib/words.js";
import { Icon } from "./icon.js";

export function useTitle(text) {
  useEffect(() => {
    document.title = text ? `${text} · Lathe` : "Lathe";
  }, [text]);
}

let hasArrived = true;

// A page was opened: its heading is where the focus goes, so that a reader hears where it is.
export function arrive() {
  hasArrived = true;
}

// The page's only h1. It takes the focus when the page is opened, and when the one before it went with the focus.
export function Heading({ children }) {
  const me = useRef();
  useEffect(() => {
    if (!hasArrived && document.activeElement !== document.body) return;
    hasArrived = false;
    me.current.focus({ preventScroll: true });
  }, []);
  return html`<h1 tabindex="-1" ref=${me}>${children}</h1>`;
}

export function State({ status }) {
  const { word, icon, tone } = STATES[status] ?? { word: status, icon: "info", tone: "quiet" };
  return html`<span class="state ${tone}"><${Icon} name=${icon} />${word}</span>`;
}

export function Bar({ percent, label, tone = "" }) {
  return html`<div class="bar ${tone}" role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100"
    aria-valuenow=${Math.round(percent)}><i style=${{ width: `${Math.min(percent, 100)}%` }}></i></div>`;
}

// A small curve of a list of numbers and gaps; the table beside it has the figures.
export function Spark({ values }) {
  const points = (values ?? []).map((value, at) => [at, value]).filter(([, value]) => Number.isFinite(value));
  if (points.length < 2) return html`<span class="quiet">–</span>`;
  const ys = points.map(([, value]) => value);
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const last = points[points.length - 1][0];
  const place = ([at, value]) => `${(at / last) * 96},${22 - ((value - low) / (high - low || 1)) * 20}`;
  return html`<svg class="spark" viewBox="0 0 96 24" preserveAspectRatio="none" aria-hidden="true">
    <polyline points=${points.map(place).join(" ")} />
  </svg>`;
}

// `facts`: [[term, what], …]; those without a value are left out.
export const Facts = ({ facts }) =>
  html`<dl class="facts">
    ${facts
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([term, value]) => html`<div key=${term}><dt>${term}</dt><dd>${value}</dd></div>`)}
  </dl>`;

// A sentence that stands out: tone "bad", "warn", "good" or none.
export const Note = ({ tone = "", icon, children, ...rest }) =>
  html`<div class="note ${tone}" ...${rest}>
    <${Icon} name=${icon ?? (tone === "good" ? "check" : tone ? "alert" : "info")} /><div>${children}</div>
  </div>`;

// What could not be asked, with the way to ask again.
export const Failed = ({ error, again }) =>
  html`<${Note} tone="bad" role="alert">
    ${error.message} <button type="button" class="button" onClick=${again}>Try again</button>
  <//>`;

// In place of what was asked for and is not there yet; seen only where that takes a moment.
export const Reading = ({ children = "Reading…" }) => html`<p class="quiet late" aria-busy="true">${children}</p>`;

// `tabs`: [[name, word], …]; `to` makes a tab's address.
export const Tabs = ({ label, tabs, current, to }) =>
  html`<nav class="tabs" aria-label=${label}>
    ${tabs.map(
      ([name, word]) =>
        html`<a key=${name} href=${to(name)} aria-current=${name === current ? "page" : undefined}>${word}</a>`,
    )}
  </nav>`;
