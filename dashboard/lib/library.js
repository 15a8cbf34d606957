// uPlot, when a curve is to be drawn: the list of jobs does without its 23 kB. It is a classic script, so it is put into
// the page; the policy of trusted types lets through its address and no other.

const ADDRESS = "/ui/vendor/uPlot.iife.min.js";
const STYLE = "/ui/vendor/uPlot.min.css";
const policy = globalThis.trustedTypes?.createPolicy("lathe", { createScriptURL: () => ADDRESS });
let loading;

export function loadPlot() {
  loading ??= Promise.all([
    put("script", { src: policy ? policy.createScriptURL("") : ADDRESS }),
    put("link", { rel: "stylesheet", href: STYLE }),
  ]);
  return loading;
}

function put(tag, attributes) {
  return new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.onload = resolve;
    element.onerror = () => reject(new Error("The library that draws curves did not come: is the server running?"));
    document.head.append(element);
  });
}
