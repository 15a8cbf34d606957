// Tables that are cards on a narrow screen: each cell then says its column's name.

import { html } from "htm/preact";

// `columns`: {key, label, cell(row), kind?: "num" | "lead" | "wide" | "nowrap", plain?: no label on a card}.
// `chosen` is a Set of ids and `onChoose` makes rows choosable; `idOf` names a row, `nameOf` is how its box is called.
export function Table({ caption, columns, rows, idOf, nameOf = idOf, chosen, onChoose }) {
  const choose = (id) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    onChoose(next);
  };
  return html`<table class="table cards" role="table">
    <caption class="hidden">${caption}</caption>
    <thead role="rowgroup">
      <tr role="row">
        ${onChoose && html`<th role="columnheader" scope="col" class="pick"><span class="hidden">Choose</span></th>`}
        ${columns.map((column) => html`<th role="columnheader" scope="col" class=${column.kind}>${column.label}</th>`)}
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${rows.map(
        (row) => html`<tr role="row" key=${idOf(row)}>
          ${onChoose &&
          html`<td role="cell" class="pick"><label class="check">
            <input type="checkbox" checked=${chosen.has(idOf(row))} onChange=${() => choose(idOf(row))} />
            <span class="hidden">Choose ${nameOf(row)}</span>
          </label></td>`}
          ${columns.map(
            (column) => html`<td role="cell" class=${column.kind}
              data-label=${column.kind === "lead" || column.plain ? undefined : column.label}>${column.cell(row)}</td>`,
          )}
        </tr>`,
      )}
    </tbody>
  </table>`;
}
