// #/adapters?q=…&page=…: what training has made, and what was brought in.

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { useAsk } from "../lib/api.js";
import { ago, figure, plural, size, when } from "../lib/format.js";
import { pageOf } from "../lib/lists.js";
import { address } from "../lib/router.js";
import { useStore } from "../lib/store.js";
import { besideBase, DeleteAdapters, LoadButton, MOST_COMPARED } from "../parts/adapter-actions.js";
import { Button, LinkButton } from "../parts/button.js";
import { Finder, Leaf } from "../parts/finder.js";
import { Icon } from "../parts/icon.js";
import { Failed, Heading, Note, Reading, useTitle } from "../parts/small.js";
import { Table } from "../parts/table.js";
import { Import } from "./adapters/import.js";

export function View({ query }) {
  const changes = useStore((state) => state.adapterChanges);
  const { data, error, again } = useAsk("/api/adapters", changes);
  const [imports, setImports] = useState(false);
  useTitle("Adapters");
  const isEmpty = data?.total === 0 && data.complete;
  return html`
    <div class="head"><${Heading}>Adapters<//>
      ${!isEmpty && html`<div class="end"><${Button} icon="upload" aria-expanded=${imports} onPress=${() => setImports(!imports)}>
        Import<//></div>`}
    </div>
    ${error && html`<${Failed} error=${error} again=${again} />`}
    ${!data && !error && html`<${Reading} />`}
    ${data && !data.complete && html`<${Note}>The server has just started and still reads the adapters.<//>`}
    ${(imports || isEmpty) && html`<${Import} />`}
    ${isEmpty && html`<${None} />`}
    ${data?.total > 0 && html`<${List} adapters=${data.adapters} query=${query} again=${again} />`}
  `;
}

const None = () => html`<section class="panel stack">
  <p>No adapter yet. A job makes one when it is done; one from elsewhere is imported above, or
    listed when its folder lies in <code>adapters/</code>.</p>
  <div class="row"><${LinkButton} kind="main" icon="plus" href="#/new">New job<//></div>
</section>`;

function List({ adapters, query, again }) {
  const [chosen, setChosen] = useState(new Set());
  const list = pageOf(adapters, query, (one) => [one.name, one.model_name, one.description, ...one.tags].join("\n"));
  const picked = adapters.filter((one) => chosen.has(one.name));
  const columns = [
    { key: "name", label: "Name", kind: "lead", cell: (one) => html`<${Named} adapter=${one} />` },
    { key: "base", label: "Base", cell: (one) => html`<span class="wrap">${one.model_name}</span>` },
    { key: "loss", label: "Loss", kind: "num", cell: (one) => figure(one.metrics.final_loss) },
    { key: "size", label: "Size", kind: "num", cell: (one) => size(one.size_mb) },
    { key: "made", label: "Made", kind: "nowrap", cell: (one) => html`<time datetime=${one.created_at} title=${when(one.created_at)}>
      ${ago(one.created_at)}</time>` },
    { key: "do", label: "Actions", kind: "wide last", plain: true, cell: (one) => html`<div class="row end-of-row">
      <${LinkButton} icon="chat" href=${besideBase([one])} aria-label="Ask ${one.name}">Ask<//>
      <${LoadButton} adapter=${one} onDone=${again} />
    </div>` },
  ];
  return html`<section class="stack" aria-label="Adapters">
    ${adapters.length > 8 && html`<${Finder} query=${query} label="Find an adapter" />`}
    ${list.found.length === 0
      ? html`<p class="quiet">No adapter has “${query.q}” in its name, base, description or tags.</p>`
      : html`<div class="panel flush">
          <${Table} caption="Adapters, the newest first" columns=${columns} rows=${list.shown} idOf=${(one) => one.name}
            chosen=${chosen} onChoose=${setChosen} />
        </div>`}
    <${Chosen} adapters=${picked} onDone=${() => { setChosen(new Set()); again(); }} />
    <${Leaf} list=${list} one="adapter" />
    <p class="small quiet">The loaded adapter answers requests that name no model. All others answer by their names.</p>
  </section>`;
}

const Named = ({ adapter }) => html`
  <div class="row"><a href=${address(["adapters", adapter.name])}>${adapter.name}</a>
    ${adapter.is_loaded && html`<${Loaded} />`}</div>
  ${adapter.problem
    ? html`<div class="small bad plain-weight"><${Icon} name="alert" /> ${adapter.problem}</div>`
    : html`<div class="small quiet clip-2 plain-weight" dir="auto">${adapter.description}</div>`}
  ${adapter.tags.length > 0 && html`<${Tags} tags=${adapter.tags} />`}
`;

export const Loaded = () => html`<span class="state good"><${Icon} name="check" />loaded</span>`;

export const Tags = ({ tags }) => html`<ul class="tags" aria-label="Tags">
  ${tags.map((tag) => html`<li key=${tag} dir="auto">${tag}</li>`)}
</ul>`;

function Chosen({ adapters, onDone }) {
  if (adapters.length === 0) return null;
  const most = MOST_COMPARED - 1;
  const [first, ...others] = adapters.map((one) => one.name);
  return html`<div class="row" role="group" aria-label="Chosen adapters">
    <span>${plural(adapters.length, "adapter")} chosen</span>
    ${adapters.length <= most
      ? html`<${LinkButton} icon="chat" href=${besideBase(adapters)}>Compare answers<//>
          ${others.length > 0 && html`<${LinkButton} icon="scale" href=${address(["adapters", first], { with: others.join(",") })}>
            Compare settings<//>`}`
      : html`<span class="small quiet">Up to ${most} can be compared at a time.</span>`}
    <${DeleteAdapters} adapters=${adapters} onDone=${onDone} />
  </div>`;
}
