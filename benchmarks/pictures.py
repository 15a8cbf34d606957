"""`python -m benchmarks.pictures`: the README's pictures of the dashboard, made from a furnished data root."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import ViewportSize, sync_playwright

from tests.dashboard.conftest import NAMES
from tests.dashboard.furnished import furnished
from tests.server import CHECKOUT, Server

VIEW: ViewportSize = {"width": 1280, "height": 1000}
PAGE = "#/jobs/my-first"


def main() -> int:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        print(f"needs a browser: none of {', '.join(NAMES)} is installed", file=sys.stderr)
        return 1
    with TemporaryDirectory() as folder, furnished(Path(folder)):
        server = Server(Path(folder))
        try:
            take(program, f"http://localhost:{server.port}/{PAGE}")
        finally:
            server.close()
    return 0


def take(program: str, address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        for theme in ("light", "dark"):
            page = browser.new_page(viewport=VIEW, color_scheme=theme, device_scale_factor=2)
            page.goto(address)
            page.locator(".cursor").nth(4).wait_for()
            page.screenshot(path=CHECKOUT / "docs" / f"dashboard-{theme}.png")


if __name__ == "__main__":
    sys.exit(main())
