// The HTTP API, as the command line and scripts use it, too.

import { useEffect, useRef, useState } from "preact/hooks";
import { take } from "./given.js";
import { useStore } from "./store.js";

const UNREAD_MS = 1000; // between two looks at a list that a server that has just started has not read yet

// A refusal in the server's own sentence; status 0 when no server answered.
export class Refusal extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export const get = (path, signal) => ask("GET", path, undefined, signal);
export const post = (path, body, signal) => ask("POST", path, body, signal);
export const patch = (path, body) => ask("PATCH", path, body);
export const remove = (path) => ask("DELETE", path);

export const query = (parameters) => {
  const kept = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return kept.length ? `?${new URLSearchParams(kept)}` : "";
};

async function ask(method, path, body, signal) {
  const options = { method, signal };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server does not answer. Is it running? Start it with: make serve");
  }
  const answer = await reply.json().catch(() => null);
  if (reply.ok && answer !== null) return answer;
  const said = answer?.error?.message ?? answer?.error;
  throw new Refusal(reply.status, said ?? `The server answered ${reply.status} without a reason`);
}

// What a path answers: {data, error, again}. It is asked again when the path or `key` changes, of a new server, and of
// one that still reads its folders: where they are empty, no event tells that it has.
// Data that is there stays while it is asked for again; a path of null asks nothing.
export function useAsk(path, key = 0) {
  const [answer, setAnswer] = useState(() => ({ path, data: take(path), error: null }));
  const isGiven = useRef(answer.data !== null);
  const [again, setAgain] = useState(0);
  const greetings = useStore((state) => state.greetings);
  useEffect(() => {
    const isThere = isGiven.current;
    isGiven.current = false;
    if (path === null || isThere) return undefined;
    const leaving = new AbortController();
    get(path, leaving.signal).then(
      (data) => setAnswer({ path, data, error: null }),
      (error) => {
        if (error.name === "AbortError") return;
        setAnswer((before) => ({ path, data: before.path === path ? before.data : null, error }));
      },
    );
    return () => leaving.abort();
  }, [path, key, greetings, again]);
  const mine = answer.path === path ? answer : { data: null, error: null };
  useEffect(() => {
    if (mine.data?.complete !== false) return undefined;
    const timer = setTimeout(() => setAgain((n) => n + 1), UNREAD_MS);
    return () => clearTimeout(timer);
  }, [mine]);
  return { data: mine.data, error: mine.error, again: () => setAgain((n) => n + 1) };
}

// What several paths answer, those that are refused left out.
export function useAskAll(paths) {
  const [answers, setAnswers] = useState([]);
  useEffect(() => {
    const leaving = new AbortController();
    Promise.allSettled(paths.map((path) => get(path, leaving.signal))).then((all) => {
      if (!leaving.signal.aborted) setAnswers(all.filter((one) => one.value).map((one) => one.value));
    });
    return () => leaving.abort();
  }, [paths.join(" ")]);
  return answers;
}
