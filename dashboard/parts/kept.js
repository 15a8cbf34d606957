// A field whose text goes into the address when it is left. Until then it is only typed: whatever else changes on the page
// takes nothing of it away.

import { html } from "htm/preact";
import { useLayoutEffect, useState } from "preact/hooks";

// `onKeep` gets the text, and the field itself.
export function Kept({ tag = "input", value, onKeep, ...rest }) {
  const [typed, setTyped] = useState(value);
  useLayoutEffect(() => setTyped(value), [value]); // before anything more can be typed
  return html`<${tag} ...${rest} value=${typed} onInput=${({ target }) => setTyped(target.value)}
    onChange=${({ target }) => onKeep(target.value, target)} />`;
}
