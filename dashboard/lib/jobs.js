// One way to speak of a job, whichever answer it comes from: lists and events say `step` and `loss`.

const FINDING = /^[a-z_]+(\.[a-z_]+)*/;

// A job's own answer and its newest row together. Rows have but the first line of an error.
export function together(answer, row) {
  const { error_message: whole } = answer;
  const job = { ...answer, ...row };
  job.step ??= answer.current_step;
  job.loss ??= answer.metrics?.train_loss ?? null;
  job.eval_loss ??= answer.metrics?.eval_loss ?? null;
  if (whole && job.error_message && whole.startsWith(job.error_message)) job.error_message = whole;
  return job;
}

// The field that a refusal is about, of those that there are; null where it names none.
export function fieldOf(sentence, paths) {
  const begin = FINDING.exec(sentence)?.[0];
  if (paths.includes(begin)) return begin;
  const named = paths.filter((path) => new RegExp(`(^|[^a-z_.])${path.replaceAll(".", "\\.")}([^a-z_.]|$)`).test(sentence));
  if (named.length > 0) return named.sort((a, b) => b.length - a.length)[0];
  if (/^Model /.test(sentence)) return "model_name";
  if (/^Dataset |\bline \d+:|rows/.test(sentence)) return "rows";
  return null;
}
