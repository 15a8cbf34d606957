// What can be done to an adapter, wherever it is shown.

import { html } from "htm/preact";
import { post, remove } from "../lib/api.js";
import { address } from "../lib/router.js";
import { plural, size } from "../lib/format.js";
import { Button } from "./button.js";
import { AskFirst } from "./dialog.js";

export const pathOf = (name, rest = "") => `/api/adapters/${encodeURIComponent(name)}${rest}`;

export const MOST_COMPARED = 4;

// Play, with the base and these adapters side by side.
export const besideBase = (adapters) =>
  address(["play"], {
    models: [...new Set([adapters[0].model_name, ...adapters.map((one) => one.name)])].slice(0, MOST_COMPARED).join(","),
  });

export function LoadButton({ adapter, onDone }) {
  const turn = async () => {
    await post(adapter.is_loaded ? "/api/adapters/unload" : pathOf(adapter.name, "/load"));
    onDone();
  };
  const word = adapter.is_loaded ? "Unload" : "Load";
  return html`<${Button} onPress=${turn} label="${word} ${adapter.name}" disabled=${adapter.problem !== null && !adapter.is_loaded}>
    ${word}
  <//>`;
}

export function DeleteAdapters({ adapters, word = "Delete…", kind = "danger", going = (work) => work(), onDone, ...rest }) {
  const title = adapters.length === 1 ? `Delete ${adapters[0].name}?` : `Delete ${plural(adapters.length, "adapter")}?`;
  const loaded = adapters.find((one) => one.is_loaded);
  const total = adapters.reduce((sum, one) => sum + one.size_mb, 0);
  const removeAll = async () => {
    await going(async () => {
      for (const one of adapters) await remove(pathOf(one.name));
    });
    onDone();
  };
  return html`<${AskFirst} icon="bin" kind=${kind} word=${word} title=${title} yes="Delete for good" onYes=${removeAll} ...${rest}>
    <p>These go, and do not come back:</p>
    <ul>
      ${adapters.slice(0, 8).map((one) => html`<li key=${one.name}><code>${one.path}</code>, ${size(one.size_mb)}</li>`)}
      ${adapters.length > 8 && html`<li>and ${plural(adapters.length - 8, "more", "more")}, ${size(total)} in all</li>`}
      <li>the same files in the folder of the job that made them, and in its <code>output_dir</code></li>
      <li>the checkpoints of that job: it cannot be resumed any more</li>
    </ul>
    <p>The job's curve, log and data stay, and so do exports.</p>
    ${loaded && html`<p><strong>${loaded.name} is loaded</strong>: requests that name no model will be refused.</p>`}
  <//>`;
}
