// The settings of a training: their names as the API, job.json and the docs have them, with what they do in a sentence.

export const SETTINGS = [
  { path: "model_name", label: "Base model", group: "What" },
  { path: "adapter_name", label: "Name", group: "What", initial: null },
  { path: "description", label: "Description", group: "What", initial: "" },
  { path: "dataset_name", label: "Data set", group: "What", initial: null },
  { path: "eval_dataset_name", label: "Evaluation data set", group: "What", initial: null },
  { path: "init_adapter", label: "Goes on from", group: "What", initial: null },
  { path: "seed", label: "Seed", group: "What", initial: 42, kind: "int", help: "The same seed, data and settings give the same adapter." },
  { path: "lora_config.r", label: "Rank r", group: "LoRA", initial: 4, kind: "int", help: "How much the adapter can learn. 8 to 64 is usual." },
  { path: "lora_config.lora_alpha", label: "Alpha", group: "LoRA", initial: 8, kind: "int", help: "How strongly it acts. Twice the rank is usual." },
  { path: "lora_config.lora_dropout", label: "Dropout", group: "LoRA", initial: 0.05, kind: "number", help: "0 to 0.1; more against learning few examples by heart." },
  { path: "lora_config.target_modules", label: "Layers", group: "LoRA", initial: null, choices: [["", "q_proj and v_proj"], ["all-linear", "all linear layers"]], help: "All linear layers learn more and take more memory." },
  { path: "lora_config.use_rslora", label: "rsLoRA", group: "LoRA", initial: false, kind: "yes", help: "Large ranks learn as fast as small ones." },
  { path: "lora_config.use_dora", label: "DoRA", group: "LoRA", initial: false, kind: "yes", help: "Learns each output's length beside its direction; slower." },
  { path: "training_config.num_epochs", label: "Epochs", group: "Training", initial: 3, kind: "int", help: "How often each example is seen. 1 to 5 is usual." },
  { path: "training_config.max_steps", label: "Steps at most", group: "Training", initial: -1, kind: "int", help: "In place of epochs; -1: by epochs." },
  { path: "training_config.learning_rate", label: "Learning rate", group: "Training", initial: 2e-4, kind: "number", help: "1e-4 to 5e-4 is usual for LoRA." },
  { path: "training_config.batch_size", label: "Rows at a time", group: "Training", initial: 1, kind: "int", help: "More is faster on a GPU and takes memory." },
  { path: "training_config.gradient_accumulation_steps", label: "Batches a step", group: "Training", initial: 4, kind: "int", help: "Rows of a step: this times the one above. 8 to 32 in all is usual." },
  { path: "training_config.max_seq_length", label: "Longest row", group: "Training", initial: null, kind: "int", help: "In tokens. Empty: 2048, or the model's context." },
  { path: "training_config.warmup_steps", label: "Warm-up steps", group: "Training", initial: null, kind: "int", help: "Empty: a tenth of the run, 100 at most." },
  { path: "training_config.learn", label: "Learn", group: "Training", initial: null, choices: [["", "answers of chats, all of plain texts"], ["completions", "of texts what follows ### Response:"], ["all", "every token"]], help: "What of a row the model learns to write." },
  { path: "training_config.validation_split", label: "Held out", group: "Training", initial: null, choices: [["", "nothing"], [0.05, "5 % of the rows"], [0.1, "10 % of the rows"], [0.2, "20 % of the rows"]], help: "Rows that are not learned show when the model learns by heart." },
  { path: "training_config.keep", label: "Keep", group: "Training", initial: "last", choices: [["last", "the last step's adapter"], ["best", "the one of the lowest evaluation loss"]], help: "The best one needs held-out rows." },
  { path: "training_config.eval_steps", label: "Evaluate every", group: "Training", initial: null, kind: "int", help: "In steps. Empty: when it is saved." },
  { path: "training_config.save_steps", label: "Save every", group: "Training", initial: 500, kind: "int", help: "In steps. A run that is cut off goes on from there." },
  { path: "training_config.logging_steps", label: "Log every", group: "Training", initial: 10, kind: "int", help: "In steps: a point of the curve." },
  { path: "training_config.skip_invalid", label: "Leave out rows that cannot be used", group: "Training", initial: false, kind: "yes", help: "Otherwise the job is refused, with the rows' numbers." },
  { path: "training_config.save_total_limit", label: "Checkpoints kept", group: "Training", initial: 2, kind: "int", help: "The newest ones." },
  { path: "training_config.precision", label: "Precision", group: "Training", initial: null, choices: [["", "bfloat16 where the device has it"], ["bfloat16", "bfloat16"], ["float32", "float32"]] },
];

const LABELS = new Map(SETTINGS.map(({ path, label }) => [path, label]));

export const valueAt = (record, path) => path.split(".").reduce((part, name) => part?.[name], record);

// Every setting of a job as [path, value], those of objects one by one.
export function flat(record, before = "") {
  return Object.entries(record ?? {}).flatMap(([name, value]) => {
    const path = before + name;
    const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
    return isObject ? flat(value, `${path}.`) : [[path, value]];
  });
}

// null, "" and what is left out are one thing: the default decides.
export const isSet = (value) => value !== null && value !== undefined && value !== "";

const INITIAL = new Map([
  ...SETTINGS.map(({ path, initial }) => [path, initial]),
  ["lora_config.bias", "none"],
  ["lora_config.task_type", "CAUSAL_LM"],
  ["training_config.keep_epochs", 0],
  ["training_config.method", "sft"],
  ["training_config.beta", 0.1],
  ["training_config.loss_type", "sigmoid"],
  ["sample_tokens", 64],
  ["report_to", []],
]);

// A job's value, or the one that it has when it is left out.
export const effective = (settings, path) => {
  const value = settings.get(path);
  return isSet(value) ? value : (INITIAL.get(path) ?? null);
};

export const isChanged = (path, value) =>
  isSet(value) && !(INITIAL.has(path) && JSON.stringify(INITIAL.get(path)) === JSON.stringify(value));

// {"training_config.max_seq_length": 512} as "longest row 512".
export const inWords = (changes) =>
  Object.entries(changes).map(([path, value]) => `${LABELS.get(path).toLowerCase()} ${shown(value)}`).join(", ");

export const shown = (value) => (isSet(value) ? (typeof value === "string" ? value : JSON.stringify(value)) : "–");

// What Lathe writes into job.json itself.
export const MADE = new Set(["version", "job_id", "created_at", "data_sha256", "eval_sha256", "openai"]);

// What to send to start the same job again. Rows that came with the request are not in it: they lie in the job's folder.
export function requestOf(record) {
  const kept = Object.entries(record).filter(([name, value]) => !MADE.has(name) && isSet(value));
  return Object.fromEntries(kept);
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export const asCurl = (path, body) =>
  `curl -s ${location.origin}${path} -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(body, null, 2))}`;
