// The search field above a long list, and the pages below it.

import { html } from "htm/preact";
import { number, plural } from "../lib/format.js";
import { setQuery } from "../lib/router.js";
import { Button } from "./button.js";

export const Finder = ({ query, label, children }) =>
  html`<div class="row apart compact">
    <label>Find <input type="search" aria-label=${label} value=${query.q ?? ""}
      onInput=${(event) => setQuery({ q: event.target.value, page: "" })} /></label>
    ${children}
  </div>`;

// `list` is a pageOf; nothing where one page holds all.
export function Leaf({ list, one, many }) {
  const { found, page, pages } = list;
  if (pages === 1) return null;
  const turn = (to) => {
    setQuery({ page: to === 1 ? "" : to });
    scrollTo(0, 0);
  };
  return html`<nav class="pages" aria-label="Pages of the list">
    <span class="quiet">page ${number(page)} of ${number(pages)}, ${plural(found.length, one, many)}</span>
    <span class="row">
      <${Button} icon="left" disabled=${page === 1} onPress=${() => turn(page - 1)}>Before<//>
      <${Button} disabled=${page === pages} onPress=${() => turn(page + 1)}>Next<//>
    </span>
  </nav>`;
}
