// The question as a script would ask it.

import { html } from "htm/preact";
import { requestOf } from "../../lib/answering.js";
import { asCurl } from "../../lib/settings.js";
import { CopyButton } from "../../parts/button.js";
import { isAmiss, questionOf } from "./question.js";

export function AsCode({ models, query }) {
  if (models.length === 0 || isAmiss(query)) return null;
  const question = questionOf(query, query.ask ?? "…");
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

// With OpenAI's own client.
function python(models, question) {
  const { model: _, ...rest } = requestOf(models[0], question).body;
  const named = Object.entries(rest).map(([name, value]) => `${name}=${literal(value)}`).join(",\n        ");
  const [call, said] = question.as === "text" ? ["completions", "text"] : ["chat.completions", "message.content"];
  return `from openai import OpenAI

client = OpenAI(base_url="${location.origin}/v1", api_key="none")
for model in ${literal(models)}:
    reply = client.${call}.create(
        model=model,
        ${named},
    )
    print(model, reply.choices[0].${said}, sep="\\n")
`;
}

// JSON's texts and numbers are Python's, too; its words are not.
function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, part]) => `${JSON.stringify(name)}: ${literal(part)}`).join(", ")}}`;
}
