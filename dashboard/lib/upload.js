// A file sent as it is. fetch cannot say how much of it has gone: this is what XMLHttpRequest is still for.

import { query, Refusal } from "./api.js";

export const ENDINGS = ".jsonl,.json,.csv,.tsv,.parquet,.txt,.gz,.zst";

// A file of rows' name without its endings, with what a folder may be called.
export function nameFor({ name }) {
  const bare = name.replace(/\.(jsonl|json|csv|tsv|parquet|txt)?(\.(gz|zst))?$/i, "");
  return bare.replace(/[^\w.-]+/g, "-").replace(/^[-.]+/, "").slice(0, 64);
}

// `onSent(fraction)` is called on the way. Each throws a Refusal, AbortError when `signal` says so.
export function uploadRows(file, { dataset_name, columns, skip_invalid, split }, signal, onSent) {
  const said = { dataset_name, columns, skip_invalid: skip_invalid || undefined, split, file_name: file.name };
  return send(`/api/training/data/upload${query(said)}`, file, "application/octet-stream", signal, onSent);
}

export function importAdapter(file, { adapter_name, description }, signal, onSent) {
  return send(`/api/adapters/import${query({ adapter_name, description })}`, file, archiveOf(file.name), signal, onSent);
}

// The server looks at what an archive is; of another file it says that it is none.
function archiveOf(name) {
  if (/\.zip$/i.test(name)) return "application/zip";
  return /\.tar$/i.test(name) ? "application/x-tar" : "application/gzip";
}

function send(path, file, type, signal, onSent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Content-Type", type);
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && onSent(event.loaded / event.total);
    request.onload = () => {
      if (request.status < 300 && request.response) resolve(request.response);
      else reject(new Refusal(request.status, request.response?.error ?? `The server answered ${request.status} without a reason`));
    };
    request.onerror = () => reject(new Refusal(0, "The server does not answer. Is it running? Start it with: make serve"));
    request.onabort = () => reject(new DOMException("It was stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
