// What stands around every page: where one can go, what the machine does, and whether the page hears from the server.

import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { useAsk } from "../lib/api.js";
import { useStore } from "../lib/store.js";
import { duration } from "../lib/format.js";
import { PAGES } from "../lib/words.js";
import { Button } from "./button.js";
import { Icon } from "./icon.js";
import { Note } from "./small.js";
import { Toasts } from "./toasts.js";

export function Frame({ current, children }) {
  const said = useStore((state) => state.said);
  const outdated = useStore((state) => state.outdated);
  return html`<div class="frame">
    <a class="skip" href="#main" onClick=${skip}>Skip to the page</a>
    <header class="side">
      <a class="brand" href="#/jobs"><img src="/ui/icon.svg" alt="" /> Lathe</a>
      <${Menu} current=${current} />
      <${MachineInBrief} />
    </header>
    <main id="main" tabindex="-1">
      <${Connection} />
      ${outdated &&
      html`<${Note}>The server is ${outdated} now. <a href="" onClick=${() => location.reload()}>Load its page</a><//>`}
      ${children}
    </main>
    <${Toasts} />
    <div role="status" class="hidden">${said}</div>
  </div>`;
}

function skip(event) {
  event.preventDefault(); // the address belongs to the pages
  document.getElementById("main").focus();
}

function Menu({ current }) {
  const running = useStore((state) => [...state.jobs.values()].filter((job) => job.status === "running").length);
  return html`<nav aria-label="Pages">
    <ul class="nav">
      ${PAGES.map(({ path, word, icon }) => {
        const here = path === current || (path === "jobs" && current === "new");
        return html`<li key=${path}>
          <a href="#/${path}" aria-current=${here ? "page" : undefined}>
            <${Icon} name=${icon} />${word}
            ${path === "jobs" && running > 0 &&
            html`<span class="count">${running}<span class="hidden"> running</span></span>`}
          </a>
        </li>`;
      })}
    </ul>
  </nav>`;
}

function MachineInBrief() {
  const { data } = useAsk("/api/health");
  return html`<div class="side-end">
    ${data && html`<div class="wrap about">${data.device_name}</div>
      <div class="about">${data.slots.total === 0 ? "only queues jobs" : `trains ${data.slots.total} at a time`}</div>`}
    <${Lamp} />
    <${ThemeButton} />
    ${data && html`<div class="about">Lathe ${data.version}</div>`}
  </div>`;
}

export function Lamp() {
  const { state } = useStore((all) => all.connection);
  const words = { connecting: "Connecting…", live: "Live", lost: "Reconnecting…", asleep: "Asleep" };
  return html`<span class="lamp is-${state}">${words[state]}</span>`;
}

// Nothing while all is well.
function Connection() {
  const { state, since } = useStore((all) => all.connection);
  const [, tick] = useState(0);
  useEffect(() => {
    if (state !== "lost") return undefined;
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [state]);
  const silence = (Date.now() - since) / 1000;
  if (state !== "lost" || silence < 2) return null;
  return html`<${Note} tone="warn">
    Reconnecting… last news ${duration(silence)} ago. Jobs go on without the server; if it has ended, start it
    with <code>make serve</code>.
  <//>`;
}

const NEXT_THEME = { auto: "light", light: "dark", dark: "auto" };

export function ThemeButton() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "auto");
  const turn = () => {
    const next = NEXT_THEME[theme];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    localStorage.setItem("lathe.theme", next);
    setTheme(next);
    dispatchEvent(new Event("themechange"));
  };
  return html`<${Button} icon="theme" onPress=${turn}>Theme: ${theme}<//>`;
}
