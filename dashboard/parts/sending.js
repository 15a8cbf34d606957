// A file on its way to the server: how much of it has gone, the way to stop it, and the refusal in words.

import { html } from "htm/preact";
import { useRef, useState } from "preact/hooks";
import { number } from "../lib/format.js";
import { Button } from "./button.js";
import { Bar } from "./small.js";

// {sent, refusal, send(work), stop}: `work(signal, onSent)` sends; `sent` is a fraction, null while nothing is sent.
export function useSending() {
  const [sent, setSent] = useState(null);
  const [refusal, setRefusal] = useState(null);
  const leaving = useRef(null);
  const send = async (work) => {
    setRefusal(null);
    setSent(0);
    leaving.current = new AbortController();
    try {
      await work(leaving.current.signal, setSent);
    } catch (error) {
      if (error.name !== "AbortError") setRefusal(error);
    } finally {
      setSent(null);
    }
  };
  return { sent, refusal, send, stop: () => leaving.current.abort() };
}

export const Sent = ({ sent, then }) => sent !== null && html`<${Bar} percent=${100 * sent} label="Upload" />
  <p class="small quiet figures">${sent < 1 ? `${number(100 * sent)} % sent` : then}</p>`;

// Beside the button that sends: goes back while nothing is sent, stops what is.
export const Leave = ({ sending, onLeave }) =>
  html`<${Button} kind="bare" onPress=${() => (sending.sent === null ? onLeave() : sending.stop())}>
    ${sending.sent === null ? "Not now" : "Stop"}<//>`;
