// Icons as strokes in a square of 24. They are decoration: the word beside one, or its button's label, says it.

import { html } from "htm/preact";

const PATHS = {
  jobs: "M4 6h16M4 12h10M4 18h7M17 14l4 3-4 3z",
  layers: "M12 3 3 8l9 5 9-5-9-5ZM3 13l9 5 9-5",
  chat: "M4 5h16v11H10l-5 4v-4H4z",
  rows: "M4 5h16v14H4zM4 10h16M4 14.500h16M10 10v9",
  chip: "M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4",
  play: "M8 5v14l11-7z",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 7v5l3 2",
  pause: "M8 5v14M16 5v14",
  check: "M4 12.500 9.500 18 20 6",
  cross: "M6 6l12 12M18 6 6 18",
  stop: "M6 6h12v12H6z",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  alert: "M12 4 2.500 20h19zM12 10v4M12 17v.010",
  info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 11v5M12 8v.010",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  save: "M12 4v11M7 10l5 5 5-5M5 20h14",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  bin: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  table: "M4 5h16v14H4zM4 10h16M12 10v9",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  send: "M4 12h15M13 6l6 6-6 6",
  upload: "M12 15V4M7 9l5-5 5 5M5 20h14",
  pen: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  box: "M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8",
  scale: "M12 4v16M7 20h10M5 8h14M5 8l-2 6h5zM19 8l-3 6h5z",
  again: "M20 12a8 8 0 1 1-2.500-5.800M20 3v5h-5",
};

export const Icon = ({ name }) =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
