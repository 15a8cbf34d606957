// What the page knows, in one place: the stream and the answers write it, components read it.

import { useEffect, useRef, useState } from "preact/hooks";
import { jobs } from "./given.js";

const state = {
  connection: { state: "connecting", since: Date.now() }, // connecting | live | lost | asleep
  hello: null, // the server's greeting: version, boot, columns
  greetings: 0, // counts new servers: answers of the one before are asked for again
  outdated: null, // the newer version that the server has come back with
  jobs, // the newest row of every job that was heard of, by id
  endings: 0, // counts jobs that ended, came or went: lists of ended jobs are asked for again
  adapterChanges: 0,
  dataChanges: 0,
  curves: new Map(), // by job: {columns, length, version}
  logs: new Map(), // by job: text
  machine: null,
  said: "", // for screen readers: what happened, once
};
const listeners = new Set();

export const read = () => state;

export function change(part) {
  Object.assign(state, part);
  for (const listener of listeners) listener();
}

// Said again when it is said twice: a screen reader tells only what is another text.
export function say(sentence) {
  change({ said: sentence === state.said ? `${sentence}\u00a0` : sentence });
}

// A part of the state; the component is drawn again when that part is another one.
export function useStore(select) {
  const [, redraw] = useState(0);
  const seen = useRef();
  seen.current = { select, value: select(state) };
  useEffect(() => {
    const look = () => {
      if (!Object.is(seen.current.select(state), seen.current.value)) redraw((n) => n + 1);
    };
    look(); // it may have changed between drawing and now
    listeners.add(look);
    return () => listeners.delete(look);
  }, []);
  return seen.current.value;
}
