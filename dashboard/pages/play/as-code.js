// The question as a script would ask it.

import { html } from "htm/preact";
import { requestOf } from "../../lib/answering.js";
import { asCurl } from "../../lib/settings.js";
import { CopyButton } from "../../parts/button.js";
import { settingsOf } from "./settings.js";

export function AsCode({ models, query }) {
  if (models.length === 0) return null;
  const question = { ask: query.ask ?? "…", system: query.system, as: query.as, settings: settingsOf(query) };
  const shell = models.map((model) => requestOf(model, question)).map(({ path, body }) => asCurl(path, body)).join("\n\n");
  return html`<details>
    <summary>As code</summary>
    <div class="stack">
      <${Code} title="curl" text=${shell} />
      <${Code} title="Python" text=${python(models, question)} />
    </div>
  </details>`;
}

const Code = ({ title, text }) => html`<section class="stack" aria-label=${title}>
  <div class="row apart"><h2>${title}</h2><${CopyButton} text=${text}>Copy as ${title}<//></div>
  <pre class="code" tabindex="0" aria-label="The question in ${title}">${text}</pre>
</section>`;

// With OpenAI's own client. JSON's texts, numbers and lists are Python's, too.
function python(models, question) {
  const { model: _, ...rest } = requestOf(models[0], question).body;
  const named = Object.entries(rest).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(",\n        ");
  const [call, said] = question.as === "text" ? ["completions", "text"] : ["chat.completions", "message.content"];
  return `from openai import OpenAI

client = OpenAI(base_url="${location.origin}/v1", api_key="none")
for model in [${models.map((name) => JSON.stringify(name)).join(", ")}]:
    reply = client.${call}.create(
        model=model,
        ${named},
    )
    print(model, reply.choices[0].${said}, sep="\\n")
`;
}
