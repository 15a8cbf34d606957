// Files that the page makes and the browser saves.

export function saveFile(name, content, type = "text/plain") {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// Rows of values as CSV. A text that a spreadsheet would take for a formula is marked as a text.
export const csv = (names, rows) =>
  [names, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
