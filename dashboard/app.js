// The dashboard: a frame, and a page for each address. A page is a file of pages/, which is loaded when it is opened.

import { html } from "htm/preact";
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { keepFocus } from "./lib/focus.js";
import { useRoute } from "./lib/router.js";
import { start } from "./lib/stream.js";
import { Frame } from "./parts/frame.js";
import { arrive, Failed, Heading } from "./parts/small.js";
import { clearToasts } from "./parts/toasts.js";
import * as jobs from "./pages/jobs.js";

// By the first part of the address. Jobs are what is opened first: they come with the frame.
const PAGES = {
  jobs: async ([id]) => (id === undefined ? jobs : import("./pages/job.js")),
  new: () => import("./pages/new.js"),
  adapters: ([name]) => (name === undefined ? import("./pages/adapters.js") : import("./pages/adapter.js")),
  play: () => import("./pages/play.js"),
  data: ([name]) => (name === undefined ? import("./pages/data.js") : import("./pages/dataset.js")),
  machine: () => import("./pages/machine.js"),
};

function App() {
  const { path, query } = useRoute();
  const [first = "jobs", ...rest] = path;
  const [page, setPage] = useState(null); // the frame is painted first, which takes a third of the time of a list
  const where = path.join("/");
  const shown = useRef("");

  useEffect(() => {
    let isLeft = false;
    const load = PAGES[first] ?? (() => import("./pages/missing.js"));
    const show = (View) => {
      if (isLeft) return;
      if (shown.current !== where) {
        arrive();
        clearToasts();
      }
      shown.current = where;
      setPage({ View, path: [first, ...rest] });
      scrollTo(0, 0);
    };
    load(rest).then(
      (module) => show(module.View),
      (error) => show(() => html`<${Heading}>This page did not come<//>
        <${Failed} error=${error} again=${() => location.reload()} />`),
    );
    return () => (isLeft = true);
  }, [where]);

  return html`<${Frame} current=${first}>
    ${page && html`<${page.View} key=${page.path.join("/")} path=${page.path.slice(1)} query=${query} />`}
  <//>`;
}

const root = document.getElementById("app");
start();
keepFocus(root);
render(html`<${App} />`, root);
