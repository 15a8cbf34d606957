// A column for each model. Of what the first one has answered, the others' words that differ are marked.

import { html } from "htm/preact";
import { differingWords } from "../../lib/differing-words.js";
import { duration, number } from "../../lib/format.js";
import { address, setQuery } from "../../lib/router.js";
import { useStore } from "../../lib/store.js";
import { Button, CopyButton } from "../../parts/button.js";
import { Note } from "../../parts/small.js";
import { conversation } from "./conversation.js";

export function Answers({ models, known, query, onLeave }) {
  const { ask, answers } = useStore(conversation);
  const isMarked = query.marks !== "no";
  const [first] = models;
  const comparable = models.filter((model) => answers[model]?.state === "done").length > 1 && answers[first]?.state === "done";
  return html`<section class="stack" aria-label="Answers">
    ${ask !== null && ask !== query.ask && models.some((model) => answers[model]) &&
    html`<p class="small quiet clip" dir="auto">Asked: ${ask}</p>`}
    <div class="columns">
      ${models.map((model) => html`<${Column} key=${model} name=${model} model=${known.get(model)} isKnown=${known.size > 0}
        answer=${answers[model]}
        beside=${isMarked && comparable && model !== first ? answers[first].text : null}
        onLeave=${models.length > 1 ? () => onLeave(model) : null} />`)}
    </div>
    ${comparable &&
    html`<label class="check small"><input type="checkbox" checked=${isMarked}
      onChange=${() => setQuery({ marks: isMarked ? "no" : "" })} />
      <span>Underline <span class="differs">words</span> that ${first} has not written</span></label>`}
  </section>`;
}

function Column({ name, model, isKnown, answer, beside, onLeave }) {
  return html`<section class="panel answer" aria-label="Answer of ${name}" aria-busy=${answer?.state === "writing"}>
    <div class="row apart nowrap">
      <div class="grow">
        <h2 class="wrap">${model?.parent ? html`<a class="plain-link" href=${address(["adapters", name])}>${name}</a>` : name}</h2>
        <p class="small quiet wrap">${isKnown && kindOf(model)}</p>
      </div>
      ${answer?.text && answer.state !== "writing" && html`<${CopyButton} kind="bare" text=${answer.text}
        label="Copy the answer of ${name}" children="" />`}
      ${onLeave && html`<${Button} kind="bare" icon="cross" label="Leave ${name} out" onPress=${onLeave} />`}
    </div>
    <${Text} answer=${answer} beside=${beside} />
    ${answer && answer.state !== "writing" && html`<p class="small quiet figures">${figures(answer)}</p>`}
  </section>`;
}

function kindOf(model) {
  if (model === undefined) return "not among those that can answer";
  return model.parent === null ? "base model" : `adapter of ${model.parent}`;
}

function Text({ answer, beside }) {
  if (!answer) return html`<p class="quiet">Not asked yet.</p>`;
  const { state, text, calls = [], error, finish } = answer;
  if (state === "writing" && text === "" && calls.length === 0) {
    return html`<p class="quiet">Reads the question. The first answer of a model takes longest: it is loaded for it.</p>`;
  }
  return html`
    ${text
      ? html`<div class="said" dir="auto">${beside === null ? text : marked(text, beside)}${state === "writing" && CARET}</div>`
      : state === "done" && calls.length === 0 && html`<p class="quiet">It has ended without a word.</p>`}
    ${calls.map((call, at) => html`<div key=${at}><span class="small quiet">calls </span><code>${call.name}</code>
      <div class="code said mono" tabindex="0" role="group" aria-label="Arguments of ${call.name}">${call.arguments}</div></div>`)}
    ${state === "failed" && html`<${Note} tone="bad">${error}<//>`}
    ${state === "stopped" && html`<p class="small warn">Stopped.</p>`}
    ${finish === "length" && html`<p class="small warn">Cut off: the longest answer was reached.</p>`}
  `;
}

const CARET = html`<span class="caret"></span>`;

const marked = (text, beside) =>
  differingWords(text, beside).map(({ text: piece, differs }) => (differs ? html`<span class="differs">${piece}</span>` : piece));

function figures({ tokens, first_s: first, took_s: took }) {
  const said = [];
  if (tokens !== null && tokens !== undefined) said.push(`${number(tokens)} tokens`);
  if (tokens > 1 && took > first) said.push(`${number((tokens - 1) / (took - first), 1)} a second`);
  if (first) said.push(`the first after ${first < 10 ? `${number(first, 1)} s` : duration(first)}`);
  return said.join(" · ");
}
