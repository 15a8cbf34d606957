// What an address leads to that there is no page for.

import { html } from "htm/preact";
import { Heading, Note, useTitle } from "../parts/small.js";

export function View() {
  useTitle("No such page");
  return html`<${Heading}>There is no such page<//>
    <${Note}>The address <code>${location.hash}</code> leads nowhere. <a href="#/jobs">All jobs</a><//>`;
}
