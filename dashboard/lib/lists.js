// A list that may be long: the rows that a search leaves, a page of them at a time. Both stand in the address: q, page.

const PAGE = 50;

// `textOf` is what of a row is searched.
export function pageOf(rows, query, textOf) {
  const wanted = (query.q ?? "").trim().toLowerCase();
  const found = wanted === "" ? rows : rows.filter((row) => textOf(row).toLowerCase().includes(wanted));
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  const page = Math.min(Math.max(1, Number(query.page) || 1), pages);
  return { found, page, pages, shown: found.slice((page - 1) * PAGE, page * PAGE) };
}
