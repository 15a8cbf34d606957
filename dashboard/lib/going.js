// A page about something that its own buttons rename or delete: until that is done, news of it are not asked for by the
// old name, which would be refused.

import { useRef } from "preact/hooks";

// `changes` as the key of a useAsk, and what such a button's work is put into.
export function useGoing(changes) {
  const key = useRef(changes);
  const isGoing = useRef(false);
  if (!isGoing.current) key.current = changes;
  const going = async (work) => {
    isGoing.current = true;
    try {
      await work();
    } catch (refusal) {
      isGoing.current = false;
      throw refusal;
    }
  };
  return [key.current, going];
}
