// What the training would take, asked a second after the last change; the one before stays, marked as old.

import { useEffect, useState } from "preact/hooks";
import { post } from "../../lib/api.js";

const CALM_MS = 1000;

// {forecast, refusal, isOld, isAsked}: of the form as it stands, unless it is old.
export function usePlan(body, { source, values }) {
  const asked = JSON.stringify(body);
  const hasEnough = Boolean(values.model_name) && (source === "paste" ? body.train_texts.length > 0 : Boolean(values.dataset_name));
  const [plan, setPlan] = useState({ asked: "", forecast: null, refusal: null });
  useEffect(() => {
    if (!hasEnough) return undefined;
    const leaving = new AbortController();
    const timer = setTimeout(() => {
      post("/api/training/plan", body, leaving.signal).then(
        (forecast) => setPlan({ asked, forecast, refusal: null }),
        (refusal) => {
          if (refusal.name !== "AbortError") setPlan((before) => ({ asked, forecast: before.forecast, refusal }));
        },
      );
    }, CALM_MS);
    return () => {
      clearTimeout(timer);
      leaving.abort(); // the server stops computing it
    };
  }, [asked, hasEnough]);
  const isOld = plan.asked !== asked;
  return { forecast: plan.forecast, refusal: isOld ? null : plan.refusal, isOld: isOld || Boolean(plan.refusal), isAsked: hasEnough && isOld };
}
