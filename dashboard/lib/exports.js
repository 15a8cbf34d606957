// Exports that this tab has asked for. One goes on while other pages are looked at, and ends when the tab is closed.

import { post } from "./api.js";
import { change, read, say } from "./store.js";

const keyOf = (name, format) => `${format} ${name}`;

// {since} while it is made, then {reply} or {error}.
export const exportOf = (state, name, format) => state.exports?.get(keyOf(name, format));

function note(key, outcome) {
  change({ exports: new Map(read().exports).set(key, outcome) });
}

export async function begin(name, format) {
  const key = keyOf(name, format);
  note(key, { since: Date.now() });
  try {
    const reply = await post(`/api/adapters/${encodeURIComponent(name)}/export`, { format });
    note(key, { reply });
    say(`${name} is exported to ${reply.path}.`);
  } catch (error) {
    note(key, { error });
    say(`${name} was not exported: ${error.message}`);
  }
}
