// The end of the trainer's log, as it grows.

import { html } from "htm/preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { lines } from "../../lib/logs.js";
import { useStore } from "../../lib/store.js";
import { useStreamed } from "../../lib/stream.js";
import { plural } from "../../lib/format.js";
import { saveFile } from "../../lib/save.js";
import { Button, CopyButton } from "../../parts/button.js";

export function LogTab({ job }) {
  useStreamed({ log: job.job_id });
  const text = useStore((state) => state.logs.get(job.job_id));
  const [wanted, setWanted] = useState("");
  const shown = lines(text ?? "");
  const found = wanted ? shown.filter((line) => line.toLowerCase().includes(wanted.toLowerCase())) : shown;
  if (!text) return html`<p class="quiet">${text === "" ? "The trainer has written nothing yet." : "No line has come yet."}</p>`;
  return html`<section class="stack" aria-label="Log">
    <div class="row apart compact">
      <label>Find <input type="search" value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></label>
      <div class="row">
        ${wanted && html`<span class="small quiet">${plural(found.length, "line")}</span>`}
        <${CopyButton} text=${() => shown.join("\n")} />
        <${Button} icon="save" onPress=${() => saveFile(`${job.job_id}.log`, text)}>Save<//>
      </div>
    </div>
    <${Scrolled} lines=${found} wanted=${wanted} />
    <p class="small quiet">The whole log is <code>training_jobs/job_${job.job_id}/train.log</code></p>
  </section>`;
}

// Stays at its end while one looks there; otherwise says how much has come.
function Scrolled({ lines: shown, wanted }) {
  const box = useRef();
  const follows = useRef(true);
  const [read, setRead] = useState(shown.length);
  useLayoutEffect(() => {
    if (follows.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown.length, shown[shown.length - 1]]);
  const look = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    follows.current = scrollHeight - scrollTop - clientHeight < 8;
    if (follows.current) setRead(shown.length);
  };
  useEffect(() => {
    if (follows.current) setRead(shown.length);
  }, [shown.length]);
  const toEnd = () => {
    box.current.scrollTop = box.current.scrollHeight;
    follows.current = true;
    setRead(shown.length);
  };
  const news = follows.current ? 0 : shown.length - read;
  return html`
    <pre class="log" tabindex="0" role="log" aria-live="off" aria-label="Log of the trainer" ref=${box} onScroll=${look}>
      ${wanted ? shown.map((line) => html`${marked(line, wanted)}${"\n"}`) : shown.join("\n")}
    </pre>
    ${news > 0 && html`<div><${Button} onPress=${toEnd}>${plural(news, "new line")} ↓<//></div>`}
  `;
}

function marked(line, wanted) {
  const at = line.toLowerCase().indexOf(wanted.toLowerCase());
  if (at < 0) return line;
  const end = at + wanted.length;
  return html`${line.slice(0, at)}<mark>${line.slice(at, end)}</mark>${line.slice(end)}`;
}
