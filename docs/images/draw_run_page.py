"""Draw docs/images/run-page.png, the README's picture of a run's page: its headline, throughput, steps and losses.

    make picture                                                    # runs `make bench` first
    PYTHONPATH=tests/helpers python docs/images/draw_run_page.py    # the newest run in results/

Needs chromium in PATH.
"""

from __future__ import annotations

import argparse
import base64
import io
import tempfile
from pathlib import Path

from PIL import Image

from browser import Browser

WIDTH = 1180  # CSS pixels; narrower pages clip the table "Each rank"
COLORS = 256  # a PNG's palette; enough for the page, and a quarter of the size
PICTURE = Path(__file__).with_name("run-page.png")
# The last panel of "Steps and losses" only repeats the losses as a table, so the picture ends above it.
CUT = """[...document.querySelectorAll('h3')].find(heading => heading.textContent == 'Mean losses')
    .closest('.card').getBoundingClientRect().top + window.scrollY"""


def screenshot(page: Path) -> bytes:
    """The page as PNG, down to its table of mean losses."""
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        browser.open(page.resolve().as_uri(), width=WIDTH)
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": int(browser.evaluate(CUT)), "scale": 1}
        shot = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
    return base64.b64decode(shot["data"])


def main() -> None:
    """Take the picture and print its size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", nargs="?", type=Path, help="a run folder with a report.html (default: the newest)")
    parser.add_argument("--out", type=Path, default=PICTURE, help="the picture (default: %(default)s)")
    arguments = parser.parse_args()
    run_dir = arguments.run_dir or max(Path("results").glob("*-pix2pix_*"), default=None)
    if run_dir is None or not (run_dir / "report.html").is_file():
        parser.error("no run folder with a report.html: run `make bench` first, or name a run folder")
    picture = Image.open(io.BytesIO(screenshot(run_dir / "report.html"))).convert("RGB")
    picture.quantize(COLORS).save(arguments.out, optimize=True)
    print(f"{arguments.out}: {picture.width} x {picture.height} pixels, {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
