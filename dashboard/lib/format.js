// Figures and times in words. null is "–" everywhere. Intl could do most of it; making its first formatters takes a
// third of the time in which a list of jobs is drawn.

export const NOTHING = "–";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec"];

// With commas between thousands.
function grouped(digits) {
  const [whole, rest] = digits.split(".");
  const commas = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return rest === undefined ? commas : `${commas}.${rest}`;
}

const twoDigits = (n) => String(n).padStart(2, "0");

export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return NOTHING;
  return grouped(value.toFixed(digits));
}

// A loss, a rate: four digits that say something.
export function figure(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2).replace("e+", "e");
  return grouped(size < 1000 ? value.toPrecision(4) : String(Number(value.toPrecision(4))));
}

// A place on an axis: a step, an epoch, minutes.
export const place = (value) => (Number.isFinite(value) ? grouped(String(Number(value.toFixed(2)))) : NOTHING);

// In 2^20 bytes.
export function memory(mb) {
  if (mb === null || mb === undefined) return NOTHING;
  return mb < 1024 ? `${number(mb)} MB` : `${number(mb / 1024, mb < 10240 ? 1 : 0)} GB`;
}

// Of files, in 10^6 bytes.
export function size(mb) {
  if (mb === null || mb === undefined) return NOTHING;
  if (mb < 0.001) return plural(Math.round(mb * 1e6), "byte");
  if (mb < 1) return `${number(mb * 1000)} kB`;
  return mb < 1000 ? `${number(mb, mb < 10 ? 1 : 0)} MB` : `${number(mb / 1000, 1)} GB`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || seconds < 0) return NOTHING;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} days`;
}

export function clock(time) {
  const date = new Date(time);
  return `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}`;
}

// When: the time of a day that is today, else the day too.
export function when(time) {
  if (!time) return NOTHING;
  const date = new Date(time);
  if (date.toDateString() === new Date().toDateString()) return clock(date);
  const year = date.getFullYear() === new Date().getFullYear() ? "" : ` ${date.getFullYear()}`;
  return `${date.getDate()} ${MONTHS[date.getMonth()]}${year}, ${clock(date)}`;
}

export function ago(time) {
  if (!time) return NOTHING;
  const seconds = (Date.now() - new Date(time)) / 1000;
  if (seconds < 10) return "just now";
  if (seconds < 3600) return `${duration(seconds)} ago`;
  return seconds < 24 * 3600 ? `${Math.floor(seconds / 3600)} h ago` : when(time);
}

export function took(job) {
  if (!job.started_at) return null;
  const end = job.completed_at ? new Date(job.completed_at) : new Date();
  return (end - new Date(job.started_at)) / 1000;
}

export const ordinal = (n) => `${n}${["th", "st", "nd", "rd"][n % 100 > 10 && n % 100 < 14 ? 0 : n % 10] ?? "th"}`;
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
