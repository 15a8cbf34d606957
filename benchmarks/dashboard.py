"""`python -m benchmarks.dashboard`: the dashboard in Chromium, with 10,000 jobs and a curve of 100,000 points.

Times are of the page itself (performance.now, requestAnimationFrame); each is the median of a few rounds. On a busy
machine the renderer's time on a core, the requests and the bytes are what can be compared.
"""

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.dashboard.conftest import NAMES
from tests.dashboard.furnished import furnished, job, points
from tests.server import Server

JOBS = 10_000
POINTS = 100_000
ROUNDS = 5
Figure = tuple[str, str, list[float]]  # its name and unit, and what it was each time
WATCH = """new MutationObserver(() => {
  if (globalThis.drawn || document.querySelectorAll('tbody tr').length < 20) return;
  requestAnimationFrame(() => requestAnimationFrame(() => { globalThis.drawn ??= performance.now(); }));
}).observe(document, { childList: true, subtree: true })"""
VISIT = """() => {
  const got = ['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind));
  return {
    first: performance.getEntriesByName('first-contentful-paint')[0].startTime,
    rows: globalThis.drawn,
    requests: got.length,
    bytes: got.reduce((sum, one) => sum + one.transferSize, 0),
  };
}"""
FRAMES = """async act => {
  const gaps = [];
  let last = performance.now();
  for (let n = 0; n < 60; n += 1) {
    if (act === 'scroll') scrollBy(0, 40);
    await new Promise(requestAnimationFrame);
    gaps.push(performance.now() - last);
    last = performance.now();
  }
  return gaps;
}"""
SLIDE = """async () => {
  const slider = document.querySelector('.compact input[type=range]');
  const times = [];
  for (let n = 1; n <= 20; n += 1) {
    const began = performance.now();
    slider.value = n / 25;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - began);
  }
  return times;
}"""


def main() -> int:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        print(f"needs a browser: none of {', '.join(NAMES)} is installed", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, furnished(Path(folder), ended=JOBS):
        long = job(Path(folder), "long", "completed", now=datetime.now(UTC), step=600)
        with long.metrics_file.open("w") as file:
            file.writelines(json.dumps(point) + "\n" for point in points(POINTS, every=1) if "loss" in point)
        server = Server(Path(folder), "--slots", "0")
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program)
                for name, unit, found in measured(browser, f"http://localhost:{server.port}/"):
                    print(f"{name:<42} {statistics.median(found):6.0f} {unit} median, {max(found):6.0f} {unit} worst")
        finally:
            server.close()
    return 0


def measured(browser: Browser, address: str) -> Iterator[Figure]:
    visits = []
    for _ in range(ROUNDS):  # each with an empty cache
        page = browser.new_context().new_page()
        metrics = page.context.new_cdp_session(page)
        metrics.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.add_init_script(WATCH)
        page.goto(f"{address}#/jobs")
        page.wait_for_function("() => globalThis.drawn")
        found = {one["name"]: one["value"] for one in metrics.send("Performance.getMetrics")["metrics"]}
        visits.append(page.evaluate(VISIT) | {"core": 1000 * found["TaskDuration"]})
    yield f"first paint, {JOBS:,} jobs", "ms", [visit["first"] for visit in visits]
    yield "rows on the screen", "ms", [visit["rows"] for visit in visits]
    yield "the renderer's time on a core until then", "ms", [visit["core"] for visit in visits]
    yield "requests until then", "  ", [visit["requests"] for visit in visits]
    yield "their answers, compressed", "kB", [visit["bytes"] / 1000 for visit in visits]
    yield "a frame while the list is scrolled", "ms", page.evaluate(FRAMES, "scroll")
    yield from _curve(page, address)


def _curve(page: Page, address: str) -> Iterator[Figure]:
    page.goto(f"{address}#/jobs/long?from=1&to={POINTS}")  # looked at closely: all points come
    page.get_by_text(f"in {POINTS:,} steps").first.wait_for()
    yield f"smoothing {POINTS:,} points, until drawn", "ms", page.evaluate(SLIDE)
    yield "a frame while nothing happens", "ms", page.evaluate(FRAMES, "")


if __name__ == "__main__":
    sys.exit(main())
