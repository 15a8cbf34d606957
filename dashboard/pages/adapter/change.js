// Another name, another description.

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { patch } from "../../lib/api.js";
import { go } from "../../lib/router.js";
import { pathOf } from "../../parts/adapter-actions.js";
import { AskFirst } from "../../parts/dialog.js";
import { Field } from "../../parts/field.js";

export function Rename({ adapter, going }) {
  const [name, setName] = useState(adapter.name);
  const rename = async () => {
    await going(() => patch(pathOf(adapter.name), { name: name.trim() }));
    go(["adapters", name.trim()]);
  };
  return html`<${AskFirst} icon="pen" word="Rename…" title="Rename ${adapter.name}" yes="Rename" danger=${false} onYes=${rename}>
    <${Field} id="new-name" label="New name" help="Programs that ask for it by the old name are refused from then on.">
      <input value=${name} onInput=${(event) => setName(event.target.value)} autocomplete="off" spellcheck=${false} />
    <//>
  <//>`;
}

export function Describe({ adapter, onDone }) {
  const [text, setText] = useState(adapter.description);
  const [tags, setTags] = useState(adapter.tags.join(", "));
  const save = async () => {
    await patch(pathOf(adapter.name), { description: text, tags: tags.split(",").map((tag) => tag.trim()).filter(Boolean) });
    onDone();
  };
  return html`<${AskFirst} icon="pen" kind="bare" word="Describe…" title="Describe ${adapter.name}" yes="Save" danger=${false}
    onYes=${save}>
    <${Field} id="description" label="Description">
      <textarea value=${text} onInput=${(event) => setText(event.target.value)} dir="auto"></textarea>
    <//>
    <${Field} id="tags" label="Tags" help="With commas between them.">
      <input value=${tags} onInput=${(event) => setTags(event.target.value)} dir="auto" autocomplete="off" />
    <//>
  <//>`;
}
