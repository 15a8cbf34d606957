// Curves of jobs that have ended do not grow: they are asked for once, thinned to what a screen can show, and whole
// where somebody looks closer.

import { useEffect } from "preact/hooks";
import { get } from "./api.js";
import { putCurve } from "./curves.js";

const SHOWN = 4000; // points, of which the server keeps the highest and the lowest

export function useEndedCurves(ids, isClose) {
  const key = ids.join(" ");
  useEffect(() => {
    const leaving = new AbortController();
    const most = isClose ? "" : `&max_points=${SHOWN}`;
    for (const id of ids) {
      get(`/api/training/metrics/${encodeURIComponent(id)}?format=columns${most}`, leaving.signal).then(
        (curve) => putCurve(id, curve.columns),
        () => {}, // a job that is not there has no curve
      );
    }
    return () => leaving.abort();
  }, [key, isClose]);
}
