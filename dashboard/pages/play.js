// #/play?models=BASE,ADAPTER&ask=…: the same question to up to four models, side by side.

import { html } from "htm/preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { useAsk } from "../lib/api.js";
import { setQuery } from "../lib/router.js";
import { useStore } from "../lib/store.js";
import { hold } from "../lib/stream.js";
import { MOST_COMPARED } from "../parts/adapter-actions.js";
import { Button, LinkButton } from "../parts/button.js";
import { Failed, Heading, Reading, useTitle } from "../parts/small.js";
import { AsCode } from "./play/as-code.js";
import { Answers } from "./play/answers.js";
import { askAll, isWriting, stop } from "./play/conversation.js";
import { isAmiss, questionOf } from "./play/question.js";
import { Settings } from "./play/settings.js";

export function View({ query }) {
  const changes = useStore((state) => state.adapterChanges);
  const { data, error, again } = useAsk("/v1/models", changes);
  const writing = useStore(isWriting);
  useEffect(() => (writing ? hold() : undefined), [writing]);
  useTitle("Play");
  const known = new Map((data?.data ?? []).map((model) => [model.id, model]));
  const models = query.models ? [...new Set(query.models.split(","))].filter(Boolean).slice(0, MOST_COMPARED) : atFirst(data);
  const set = (names) => setQuery({ models: names.join(",") });
  if (error && !data) return html`<${Head} /><${Failed} error=${error} again=${again} />`;
  if (data && known.size === 0 && models.length === 0) return html`<${Head} /><${Nobody} />`;
  return html`
    <${Head} />
    <${Question} models=${models} query=${query} writing=${writing} />
    <${Answers} models=${models} known=${known} query=${query}
      onLeave=${(name) => set(models.filter((one) => one !== name))} />
    ${!data && html`<${Reading} />`}
    ${models.length < MOST_COMPARED && html`<${Add} known=${known} models=${models} onAdd=${(name) => set([...models, name])} />`}
    <${AsCode} models=${models} query=${query} />
  `;
}

const Head = () => html`<div class="head"><${Heading}>Play<//></div>`;

const Nobody = () => html`<section class="panel stack">
  <p>No model can answer yet: none is here whole. A base model is downloaded when a job first trains on it, or lies
    in <code>models/</code>.</p>
  <div class="row"><${LinkButton} kind="main" icon="plus" href="#/new">New job<//></div>
</section>`;

// The newest adapter beside its base, or the first base alone.
function atFirst(data) {
  if (!data || data.data.length === 0) return [];
  const adapter = data.data.find((model) => model.parent !== null);
  return adapter ? [adapter.parent, adapter.id] : [data.data[0].id];
}

function Question({ models, query, writing }) {
  const [draft, setDraft] = useState(query.ask ?? "");
  useLayoutEffect(() => setDraft(query.ask ?? ""), [query.ask]); // before anything more can be typed
  const isText = query.as === "text";
  const send = () => {
    if (draft === "" || models.length === 0 || isAmiss(query)) return;
    setQuery({ ask: draft, models: models.join(",") });
    void askAll(models, questionOf(query, draft));
  };
  const press = (event) => {
    if (event.key === "Escape" && writing) stop();
    if (event.key !== "Enter" || event.isComposing) return;
    if (!event.ctrlKey && !event.metaKey && (event.shiftKey || isText)) return;
    event.preventDefault();
    send();
  };
  return html`<section class="panel stack" aria-label="Question">
    <div class="field">
      <div class="row apart">
        <label for="ask">${isText ? "Text to go on from" : "Question"}</label>
        <span class="help">${isText ? "Ctrl+Enter sends" : "Enter sends, Shift+Enter is a new line"}${writing ? ", Esc stops" : ""}</span>
      </div>
      <textarea id="ask" class=${isText ? "mono" : ""} dir="auto" value=${draft} onKeyDown=${press}
        placeholder=${isText ? "def add(a, b):" : "What shall all of them answer?"}
        onInput=${(event) => setDraft(event.target.value)} onChange=${(event) => setQuery({ ask: event.target.value })}></textarea>
    </div>
    <div class="row">
      ${writing
        ? html`<${Button} kind="main" icon="stop" onPress=${stop}>Stop<//>`
        : html`<${Button} kind="main" icon="send" onPress=${send} disabled=${models.length === 0 || isAmiss(query)}>
          ${models.length > 1 ? `Ask all ${models.length}` : "Ask"}<//>`}
    </div>
    <${Settings} query=${query} />
  </section>`;
}

function Add({ known, models, onAdd }) {
  const offered = [...known.values()].filter((model) => !models.includes(model.id));
  if (offered.length === 0) return null;
  const group = (label, some) => some.length > 0 && html`<optgroup label=${label}>
    ${some.map((model) => html`<option key=${model.id} value=${model.id}>${model.id}</option>`)}</optgroup>`;
  return html`<div class="row compact"><label>Beside them
    <select value="" onChange=${(event) => onAdd(event.target.value)}>
      <option value="">another model…</option>
      ${group("Adapters", offered.filter((model) => model.parent !== null))}
      ${group("Base models", offered.filter((model) => model.parent === null))}
    </select></label></div>`;
}
