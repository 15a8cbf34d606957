// The answers on the Play page: asked of several models at once, kept while other pages are looked at and over a reload.

import { answer, requestOf } from "../../lib/answering.js";
import { change, read, say } from "../../lib/store.js";

const KEPT = "lathe.play";
let stopping = null;

// {ask, answers: {model: {state, text, calls, tokens, finish, error, first_s, took_s}}}; state: writing, done, stopped, failed.
export const conversation = (state) => state.play;

export const isWriting = (state) => Object.values(state.play.answers).some((one) => one.state === "writing");

function kept() {
  let found = null;
  try {
    found = JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    // written by another version, or storage is switched off
  }
  return found?.answers ? found : { ask: null, answers: {} };
}
change({ play: kept() });

function note(model, part) {
  const play = read().play;
  change({ play: { ...play, answers: { ...play.answers, [model]: { ...play.answers[model], ...part } } } });
}

export async function askAll(models, question) {
  stop();
  const leaving = new AbortController();
  stopping = leaving;
  const nothing = { state: "writing", text: "", tokens: null, finish: null };
  change({ play: { ask: question.ask, answers: Object.fromEntries(models.map((model) => [model, nothing])) } });
  await Promise.all(models.map((model) => askOne(model, question, leaving.signal)));
  if (stopping === leaving) keep();
}

function keep() {
  stopping = null;
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(read().play));
  } catch {
    // too long for it: a reload then asks again
  }
}

export function stop() {
  stopping?.abort();
}

async function askOne(model, question, signal) {
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const writer = drawnByFrame(model, seconds, signal);
  const end = (part) => {
    writer.flush();
    if (!isReplaced(signal)) note(model, { took_s: seconds(), ...part });
  };
  try {
    await answer(requestOf(model, question), signal, writer.take);
    end({ state: "done" });
    const { tokens } = read().play.answers[model];
    say(`${model} has answered${tokens === null ? "" : `, ${tokens} tokens`}.`);
  } catch (error) {
    if (error.name === "AbortError") end({ state: "stopped" });
    else {
      end({ state: "failed", error: error.message });
      say(`${model} has not answered: ${error.message}`);
    }
  }
}

// A question after this one has the page.
const isReplaced = (signal) => stopping !== null && stopping.signal !== signal;

// Pieces that come within one frame are drawn as one: a fast model writes hundreds a second.
function drawnByFrame(model, seconds, signal) {
  let waiting = {};
  let frame = 0;
  let first = null;
  const flush = () => {
    cancelAnimationFrame(frame);
    frame = 0;
    if (isReplaced(signal)) return;
    const { text } = read().play.answers[model];
    note(model, { ...waiting, text: text + (waiting.text ?? ""), first_s: first });
    waiting = {};
  };
  const take = (part) => {
    if (isReplaced(signal)) return;
    if (part.text || part.calls) first ??= seconds();
    waiting = { ...waiting, ...part, text: (waiting.text ?? "") + (part.text ?? "") };
    frame ||= requestAnimationFrame(flush);
  };
  return { take, flush };
}
