// #/machine: what the machine has and lacks, with the commands that mend it, and who uses its memory.

import { html } from "htm/preact";
import { useAsk } from "../lib/api.js";
import { memory, number } from "../lib/format.js";
import { address } from "../lib/router.js";
import { useStore } from "../lib/store.js";
import { Button, CopyButton } from "../parts/button.js";
import { Icon } from "../parts/icon.js";
import { Bar, Facts, Failed, Heading, Note, Reading, useTitle } from "../parts/small.js";

const LEVELS = {
  ok: { icon: "check", tone: "good", word: "in order" },
  warn: { icon: "alert", tone: "warn", word: "look here" },
  missing: { icon: "cross", tone: "bad", word: "missing" },
};

export function View() {
  const live = useStore((state) => state.machine);
  const key = live && `${live.slots_busy} ${live.inference_running} ${live.current_adapter}`;
  const { data, error, again } = useAsk("/api/machine", key);
  useTitle("Machine");
  return html`
    <div class="head"><${Heading}>Machine<//>
      <div class="end"><${Button} icon="again" onPress=${again}>Look again<//>
        ${data && html`<${CopyButton} text=${() => reportOf(data)}>Copy a report<//>`}</div></div>
    ${error && html`<${Failed} error=${error} again=${again} />`}
    ${!data && !error && html`<${Reading} />`}
    ${data && html`
      <${Amiss} checks=${data.checks} />
      <${What} machine=${data} free=${live?.memory_free_mb ?? data.memory_free_mb} />
      <div class="grid-2">
        <${Users} machine=${data} />
        <${Installed} machine=${data} />
      </div>
      <p class="small">Elsewhere: <a href="/schema">the HTTP API</a>, <a href="/metrics">figures for Prometheus</a>.</p>
    `}
  `;
}

const used = (total, free) => (100 * (total - free)) / Math.max(1, total);

function What({ machine, free }) {
  const room = [
    ["Memory", machine.memory_total_mb, free],
    ...machine.gpus.map((gpu) => [gpu.name, gpu.memory_total_mb, gpu.memory_free_mb]),
    ["Disk of the data root", machine.disk_total_mb, machine.disk_free_mb],
  ];
  return html`<section class="panel stack" aria-labelledby="what">
    <h2 id="what">${machine.device_name}</h2>
    <${Facts} facts=${[
      ["Computes on", { cuda: "CUDA", mps: "Metal", cpu: "the CPU" }[machine.device]],
      ["Cores", number(machine.cores)],
      ["System", machine.system],
      ["Python", machine.python],
      ["Lathe", machine.version],
    ]} />
    ${room.map(([name, total, left]) => html`<div class="stack" key=${name} style=${{ gap: "4px" }}>
      <div class="row apart small"><span class="wrap">${name}</span>
        <span class="figures">${memory(left)} free of ${memory(total)}</span></div>
      <${Bar} percent=${used(total, left)} tone=${used(total, left) > 92 ? "bad" : "quiet"} label="${name} in use" />
    </div>`)}
  </section>`;
}

function Amiss({ checks }) {
  const amiss = checks.filter((check) => check.level !== "ok");
  if (amiss.length === 0) return html`<${Note} tone="good">Nothing is missing.<//>`;
  return amiss.map((check) => html`<${Note} key=${check.what} tone=${LEVELS[check.level].tone}>
    <p>${check.text}</p>
    ${check.fix && html`<div class="row"><code>${check.fix}</code><${CopyButton} text=${check.fix} kind="bare"
      label="Copy the command" children="" /></div>`}
  <//>`);
}

function Users({ machine: { slots, inference, processes } }) {
  return html`<section class="panel stack" aria-labelledby="users">
    <h2 id="users">Who works</h2>
    <${Facts} facts=${[
      ["Trains", slots.total === 0 ? "only queues jobs" : `${slots.busy} of ${slots.total}`],
      ["Answers", inference.running ? `${number(inference.requests_running)} under way` : "asleep"],
      ["Loaded", inference.current_adapter && html`<a href=${address(["adapters", inference.current_adapter])}>
        ${inference.current_adapter}</a>`],
    ]} />
    <table class="table">
      <caption class="hidden">Lathe's processes and their memory</caption>
      <thead><tr><th scope="col">Process</th><th scope="col" class="num">Id</th><th scope="col" class="num">Memory</th></tr></thead>
      <tbody>${processes.map((one) => html`<tr key=${one.pid}>
        <td class="wrap">${one.what}${one.job_id && html` of <a href=${address(["jobs", one.job_id])}>${one.job_id}</a>`}</td>
        <td class="num">${one.pid}</td><td class="num">${memory(one.memory_mb)}</td>
      </tr>`)}</tbody>
    </table>
  </section>`;
}

const Installed = ({ machine }) => html`<section class="panel stack" aria-labelledby="installed">
  <h2 id="installed">What was looked at</h2>
  <ul class="plain stack small" style=${{ gap: "6px" }}>
    ${machine.checks.map((check) => html`<li key=${check.what} class="row nowrap">
      <span class=${LEVELS[check.level].tone}><${Icon} name=${LEVELS[check.level].icon} />
        <span class="hidden">${LEVELS[check.level].word}: </span></span>
      <span class="wrap">${check.text}</span></li>`)}
  </ul>
</section>`;

// For a bug report: what a helper asks first, and no path of this machine.
function reportOf(machine) {
  const { version, python, system, device_name: device, cores } = machine;
  const lines = [
    `Lathe ${version}, Python ${python}, ${system}`,
    `${device}, ${cores} cores, ${memory(machine.memory_free_mb)} of ${memory(machine.memory_total_mb)} free`,
    `Disk: ${memory(machine.disk_free_mb)} free`,
    ...machine.gpus.map((gpu) => `${gpu.name}, ${memory(gpu.memory_free_mb)} of ${memory(gpu.memory_total_mb)} free`),
    Object.entries(machine.packages).map(([name, found]) => `${name} ${found ?? "missing"}`).join(", "),
    ...machine.checks.filter((check) => check.level !== "ok").map((check) => `${check.level}: ${check.text}`),
  ];
  return lines.join("\n");
}
