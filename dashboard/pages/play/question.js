// What is asked, made of what stands in the address.

export const NUMBERS = [
  { key: "temperature", label: "Temperature", usual: 0, step: "0.1", most: 10, help: "0: the likeliest token each time." },
  { key: "top_p", label: "Top p", usual: 1, step: "0.05", most: 1, help: "1: any token may come." },
  { key: "max_tokens", label: "Longest answer", usual: 256, step: "1", most: 100_000, help: "In tokens." },
  { key: "seed", label: "Seed", usual: null, step: "1", most: 2 ** 32 - 1, help: "The same one, the same answer." },
];

export const SCHEMA = `{
  "type": "object",
  "properties": { "answer": { "type": "string", "maxLength": 80 } },
  "required": ["answer"]
}`;

// `settings` are the API's own fields.
export const questionOf = (query, ask) => ({
  ask,
  system: query.system,
  as: query.as,
  settings: query.as === "text" ? settingsOf(query) : { ...settingsOf(query), ...ofChats(query) },
});

function settingsOf(query) {
  const settings = {};
  for (const { key, usual } of NUMBERS) {
    const value = query[key] === undefined ? usual : Number(query[key]);
    if (value !== null && (key !== "top_p" || value !== 1)) settings[key] = value;
  }
  if (query.stop) settings.stop = [query.stop.replaceAll("\\n", "\n")]; // a field of one line takes no new line
  return settings;
}

function ofChats(query) {
  const settings = {};
  if (query.json === "object") settings.response_format = { type: "json_object" };
  if (query.json === "schema") {
    settings.response_format = { type: "json_schema", json_schema: { name: "answer", schema: parsed(query.schema ?? SCHEMA) } };
  }
  if (query.tools) settings.tools = parsed(query.tools);
  if (query.tools && query.call) settings.tool_choice = query.call;
  return settings;
}

// Why it cannot be asked so: {schema, tools}, each a sentence. Whatever else is wrong with them, the server says.
export function amiss(query) {
  const wrong = {};
  if (query.as === "text") return wrong;
  if (query.json === "schema" && parsed(query.schema ?? SCHEMA) === null) wrong.schema = "This is not JSON";
  if (query.tools && !Array.isArray(parsed(query.tools))) wrong.tools = "This is not a list in JSON";
  return wrong;
}

export const isAmiss = (query) => Object.keys(amiss(query)).length > 0;

// null for what is not JSON.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
