// The form of a new job as it is being filled: kept by the browser, so that a reload, a closed tab or a look at another
// page costs nothing. A value is what stands in its input; empty ones are left to the server.

import { isChanged, isSet, MADE, SETTINGS, valueAt } from "./settings.js";

const KEY = "lathe.draft";

// What a form begins with: more than the server's own defaults where that is what people mean by a fine-tuning.
const BEGINNING = {
  "lora_config.r": "16",
  "lora_config.lora_alpha": "32",
  "lora_config.target_modules": "all-linear",
};

// `also` has by their paths the settings that the form has no fields for.
export const fresh = () => ({ source: "dataset", texts: "", prompts: "", values: { ...BEGINNING }, also: {}, rowsIn: null });

export function saved() {
  try {
    const draft = JSON.parse(localStorage.getItem(KEY));
    return draft?.values ? { ...fresh(), ...draft } : null;
  } catch {
    return null;
  }
}

export function save(draft) {
  try {
    localStorage.setItem(KEY, JSON.stringify(draft));
  } catch {
    // the texts are larger than the browser keeps: the form works without
  }
}

export const forget = () => localStorage.removeItem(KEY);

// A form with the settings of a job, but for its name, which is taken. `rowsIn` says where its rows lie that came with
// its request.
export function fromJob({ path: folder, written }) {
  const config = written ?? {};
  const values = {};
  for (const { path } of SETTINGS) {
    const value = valueAt(config, path);
    if (isSet(value) && path !== "adapter_name") values[path] = typeof value === "string" ? value : JSON.stringify(value);
  }
  const asked = config.sample_prompts ?? [];
  const areTexts = asked.every((prompt) => typeof prompt === "string");
  const also = { ...withoutField(config), ...(!areTexts && { sample_prompts: asked }) };
  return {
    source: "dataset",
    texts: "",
    prompts: areTexts ? blocks.join(asked) : "",
    values,
    also,
    rowsIn: values.dataset_name ? null : `${folder}/data/train.jsonl`,
  };
}

const IN_FORM = new Set([...SETTINGS.map(({ path }) => path), "sample_prompts"]);

function withoutField(record, before = "") {
  const found = {};
  for (const [name, value] of Object.entries(record ?? {})) {
    const path = before + name;
    if (path === "lora_config" || path === "training_config") Object.assign(found, withoutField(value, `${path}.`));
    else if (!IN_FORM.has(path) && !MADE.has(path) && isChanged(path, value)) found[path] = value;
  }
  return found;
}

// Several texts in one box, with a line --- between them.
export const blocks = {
  split: (text) => text.split(/^---[ \t]*$/m).map((block) => block.replace(/^\n+|\s+$/g, "")).filter(Boolean),
  join: (texts) => texts.join("\n---\n"),
};

// What is sent. A text in a number's place goes as it is: the server says what is wrong with it.
export function bodyOf({ source, texts, prompts, values, also }) {
  const body = {};
  for (const [path, value] of Object.entries(also)) put(body, path.split("."), value);
  for (const { path, kind, choices } of SETTINGS) {
    const value = values[path];
    if (!isSet(value) || (path === "dataset_name" && source !== "dataset")) continue;
    put(body, path.split("."), kind || choices ? parsed(value, kind) : value);
  }
  if (source === "paste") body.train_texts = blocks.split(texts);
  const asked = blocks.split(prompts);
  if (asked.length > 0) body.sample_prompts = asked;
  return body;
}

function parsed(value, kind) {
  if (kind === "yes") return value === true || value === "true";
  const number = Number(value);
  if (Number.isFinite(number)) return number;
  return value.startsWith("[") ? JSON.parse(value) : value;
}

function put(body, [name, ...rest], value) {
  if (rest.length === 0) body[name] = value;
  else put((body[name] ??= {}), rest, value);
}
