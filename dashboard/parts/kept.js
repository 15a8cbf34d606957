// A field whose text goes into the address when it is left. Until then it is only typed: whatever else changes on the page
// takes nothing of it away.

import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";

// `onKeep` gets the text, and the field itself.
export function Kept({ tag = "input", value, onKeep, ...rest }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  return html`<${tag} ...${rest} value=${typed} onInput=${({ target }) => setTyped(target.value)}
    onChange=${({ target }) => onKeep(target.value, target)} />`;
}
