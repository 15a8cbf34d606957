// One answer of one model, piece by piece as it is written, over the same protocol that OpenAI's clients speak.

import { Refusal } from "./api.js";

// What is asked of a model: {path, body}. `as` is "text" for a text to continue, else it is a conversation.
export function requestOf(model, { ask, system, as, settings }) {
  const body = { model, ...settings };
  if (as === "text") return { path: "/v1/completions", body: { ...body, prompt: ask } };
  const turns = [{ role: "user", content: ask }];
  if (system) turns.unshift({ role: "system", content: system });
  return { path: "/v1/chat/completions", body: { ...body, messages: turns } };
}

// Calls `onPart({text} | {calls} | {finish} | {tokens})` as the parts come; `calls` are all calls of tools so far.
// Returns at the answer's end. Throws a Refusal.
export async function answer({ path, body }, signal, onPart) {
  const reply = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!reply.ok) {
    const said = await reply.json().catch(() => null);
    throw new Refusal(reply.status, said?.error?.message ?? `The server answered ${reply.status} without a reason`);
  }
  const calls = [];
  for await (const event of events(reply.body)) {
    if (event.error) throw new Refusal(500, event.error.message);
    if (event.usage) onPart({ tokens: event.usage.completion_tokens });
    const choice = event.choices[0];
    if (choice === undefined) continue;
    const text = choice.text ?? choice.delta?.content;
    if (text) onPart({ text });
    if (choice.delta?.tool_calls) onPart({ calls: joined(calls, choice.delta.tool_calls) });
    if (choice.finish_reason) onPart({ finish: choice.finish_reason });
  }
}

// A call comes in pieces: its name first, then its arguments bit by bit.
function joined(calls, pieces) {
  for (const { index, function: { name, arguments: more } } of pieces) {
    calls[index] ??= { name, arguments: "" };
    calls[index].arguments += more ?? "";
  }
  return calls.map((call) => ({ ...call }));
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Refusal(0, "The server went away before the answer was whole");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") return;
      if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
    }
  }
}
