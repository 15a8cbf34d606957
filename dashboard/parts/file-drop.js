// A box into which a file is dropped, or for which one is chosen; then `children` are in its place.

import { html } from "htm/preact";
import { useRef, useState } from "preact/hooks";
import { Button } from "./button.js";
import { Icon } from "./icon.js";

// `accept`: the endings that the browser offers; `what` says in a sentence which files are meant.
export function FileDrop({ label, accept, what, onFile, children }) {
  const [isOver, setOver] = useState(false);
  const chosen = useRef();
  const over = (event) => {
    event.preventDefault();
    setOver(true);
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer.files[0]) onFile(event.dataTransfer.files[0]);
  };
  return html`<section class="panel drop ${isOver ? "is-over" : ""}" aria-label=${label} onDragOver=${over}
    onDragLeave=${() => setOver(false)} onDrop=${drop}>
    ${children ||
    html`<div class="row">
      <span class="quiet big-icon"><${Icon} name="upload" /></span>
      <div class="grow"><strong>Drop a file here</strong><p class="small quiet">${what}</p></div>
      <${Button} onPress=${() => chosen.current.click()}>Choose a file<//>
      <input type="file" ref=${chosen} accept=${accept} hidden
        onChange=${(event) => { if (event.target.files[0]) onFile(event.target.files[0]); event.target.value = ""; }} />
    </div>`}
  </section>`;
}
