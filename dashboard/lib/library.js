// uPlot, when a curve is to be drawn: the list of jobs does without its 22 kB. It is a classic script, so it is put into
// the page; the policy of trusted types lets through its address and no other.

const ADDRESS = "/ui/vendor/uPlot.iife.min.js";
const policy = globalThis.trustedTypes?.createPolicy("lathe", { createScriptURL: () => ADDRESS });
let loading;

export function loadPlot() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = policy ? policy.createScriptURL("") : ADDRESS;
    script.onload = () => resolve(globalThis.uPlot);
    script.onerror = () => reject(new Error("The library that draws curves did not come: is the server running?"));
    document.head.append(script);
  });
  return loading;
}
