// A question before something that cannot be undone. The browser's own dialog keeps the focus inside, closes with Esc
// and gives the focus back.

import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "./button.js";
import { Icon } from "./icon.js";

// A button that opens a dialog. `onYes` may return a promise: the dialog stays until it is kept, and shows a refusal.
// Enter in a field of it is the same as `yes`.
export function AskFirst({ icon, kind = "", word, title, yes, danger = true, onYes, children, ...rest }) {
  const [open, setOpen] = useState(false);
  return html`
    <${Button} icon=${icon} kind=${kind} onPress=${() => setOpen(true)} ...${rest}>${word}<//>
    ${open &&
    html`<${Dialog} title=${title} yes=${yes} danger=${danger} onYes=${onYes} onClose=${() => setOpen(false)}>
      ${children}
    <//>`}
  `;
}

export function Dialog({ title, yes, danger = false, onYes, onClose, children }) {
  const box = useRef();
  const [refusal, setRefusal] = useState(null);
  useEffect(() => {
    const opener = document.activeElement;
    box.current.showModal();
    return () => opener?.focus();
  }, []);
  const done = async () => {
    setRefusal(null);
    await onYes();
    onClose();
  };
  return html`<dialog ref=${box} aria-labelledby="dialog-title" onClose=${onClose}>
    <form onSubmit=${(event) => event.preventDefault()}>
      <h2 id="dialog-title">${title}</h2>
      <div class="wrap stack">${children}</div>
      ${refusal && html`<div class="note bad" role="alert"><${Icon} name="alert" /><div>${refusal.message}</div></div>`}
      <div class="row">
        <${Button} type="submit" kind=${danger ? "danger" : "main"} onPress=${done} onRefused=${setRefusal}>${yes}<//>
        <${Button} kind="bare" onPress=${onClose}>Not now<//>
      </div>
    </form>
  </dialog>`;
}
