"""One HTML page of an evaluation: every pair with what the generator made of it, to be sorted and stepped through.

A single file that fetches nothing from anywhere; the images lie beside it, in images/, and are linked from it by
relative paths: a full test split is too much to be written into one page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from dominate import document
from dominate import tags as t
from dominate.util import raw

from gbench.base.files import write_atomically
from gbench.reports.style import CSS
from gbench.reports.text import count, four, plain
from gbench.runfolder.evaluation_result import METRICS, SET_METRICS, Evaluation, Image, Metric
from gbench.runfolder.folder import VISUALS

SCRIPT = Path(__file__).with_name("gallery.js").read_text(encoding="utf-8")
STYLE = CSS + Path(__file__).with_name("gallery.css").read_text(encoding="utf-8")
# Tells the browser, too, that this page needs nothing but the images beside it: `self`, or files where it is one.
POLICY = "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; script-src 'sha256-{}'"
INFINITE = "infinite"


def write_gallery(found: Evaluation, path: Path) -> Path:
    """Write the gallery of an evaluation, beside its images/.

    Raises:
        InfrastructureError: it can't be written.
    """
    write_atomically(path, page(found))
    return path


def page(found: Evaluation) -> str:
    """The page as HTML text; the same evaluation gives the same bytes."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    html = document(title=f"{found.model}: {found.trained} on {count(len(found.images), 'image')}", lang="en")
    with html.head:
        t.meta(charset="utf-8")
        t.meta(http_equiv="Content-Security-Policy", content=POLICY.format(digest))
        t.meta(name="viewport", content="width=device-width, initial-scale=1")
        t.meta(name="color-scheme", content="light dark")
        t.style(raw(STYLE))
    with html.body:
        with t.header():
            t.p("Evaluation", cls="muted")
            t.h1(found.model)
            t.p(
                f"{found.trained}; {count(len(found.images), 'image')} of {found.dataset}, {found.data.phase}",
                cls="muted",
            )
        with t.main():
            _means(found)
            with t.section():
                t.h2("Image by image")
                _bar(found)
                with t.ol(cls="pairs", id="pairs"):
                    ranked = worst_first(found, "MAE")
                    for rank, place in enumerate(ranked, 1):
                        _pair(found, place, f"{rank} of {len(ranked)}, worst MAE first")
            _settings(found)
        t.footer(t.p("Made by gbench from evaluation.json and the images beside this page."))
        t.script(raw(SCRIPT))
    return str(html.render(pretty=False)) + "\n"


def worst_first(found: Evaluation, metric: str) -> list[int]:
    """Places of the images in the test split, the worst by a metric first."""
    sign = 1 if METRICS[metric].higher_is_better else -1
    return sorted(range(len(found.images)), key=lambda place: sign * _number(found.images[place], metric))


def _means(found: Evaluation) -> None:
    with t.section():
        t.h2("Metrics")
        with t.div(cls="tiles"):
            for name, spread in found.metrics.items():
                deviation = "" if spread.sd is None else f"standard deviation {four(spread.sd)}"
                with _tile(name, METRICS[name], spread.mean, deviation), t.p(cls="muted"):
                    worst = worst_first(found, name)
                    for word, place in (("best", worst[-1]), (", worst", worst[0])):
                        image = found.images[place]
                        t.span(f"{word} ", t.a(image.name, href=f"#pair-{place}"), f" ({_figure(image.metrics[name])})")
            for name, value in found.set_metrics.items():
                with _tile(name, SET_METRICS[name], value, "of all images together"):
                    pass
        if absent := found.absent:
            t.p(f"Not computed: {'; '.join(f'{names} ({why})' for names, why in absent)}.", cls="muted")


@contextmanager
def _tile(name: str, metric: Metric, value: float | None, beside: str) -> Iterator[None]:
    with t.div(cls="card"):
        t.h3(name, t.span(f", {'higher' if metric.higher_is_better else 'lower'} is better", cls="muted"))
        with t.p(cls="headline"):
            t.span(_figure(value))
            if metric.unit and value is not None:
                t.span(f" {metric.unit}", cls="unit")
        t.p(beside, cls="muted")
        t.p(metric.meaning, cls="muted")
        yield


def _settings(found: Evaluation) -> None:
    with t.section():
        t.h2("Settings")
        with t.div(cls="card"), t.dl(cls="facts"):
            for name, value in settings(found):
                t.dt(name)
                t.dd(value)


def settings(found: Evaluation) -> Iterator[tuple[str, str]]:
    """What decided the figures."""
    checkpoint, data, network = found.checkpoint, found.data, found.network
    yield "Checkpoint", checkpoint.path
    yield "SHA-256", checkpoint.sha256
    yield "Epoch", plain(checkpoint.epoch)
    yield "Trained by run", plain(checkpoint.run_id)
    yield "Generator", f"{network.netG}, {network.ngf} filters, {network.norm} norm"
    yield "Mode", found.mode
    yield "Dataset", f"{found.dataset}, {data.phase}, {data.direction}"
    yield "Dataset SHA-256", plain(found.dataset_sha256)
    yield "Images", f"{data.preprocess}, load size {data.load_size}, crop size {data.crop_size}"
    yield "Ran on", f"{found.device_count} × {found.device}, {found.precision}, batch {found.batch_size_per_device}"


def _bar(found: Evaluation) -> None:
    with t.div(cls="bar", hidden=True):
        t.label("Order", html_for="order")
        with t.select(id="order", autocomplete="off"):
            for name, metric in METRICS.items():
                if name in found.metrics:
                    worst = 1 if metric.higher_is_better else -1
                    t.option(f"worst {name} first", value=f"{name.lower()} {worst}")
                    t.option(f"best {name} first", value=f"{name.lower()} {-worst}")
            t.option("as in the test split", value="place 1")
        with t.div(cls="steps"):
            t.button("Previous", type="button", id="previous")
            t.button("Next", type="button", id="next")
        t.span(id="position", cls="position", role="status")
        with t.p(cls="keys muted"):
            t.kbd("→")
            raw(" or ")
            t.kbd("J")
            raw(" next, ")
            t.kbd("←")
            raw(" or ")
            t.kbd("K")
            raw(" previous, ")
            t.kbd("Home")
            raw(" first, ")
            t.kbd("End")
            raw(" last")


def _pair(found: Evaluation, place: int, rank: str) -> None:
    image = found.images[place]
    data = {f"data-{name.lower()}": str(_number(image, name)).replace("inf", "Infinity") for name in image.metrics}
    with t.li(
        cls="card pair",
        id=f"pair-{place}",
        tabindex="-1",
        **data,
        **{"data-place": str(place), "data-name": image.name},
    ):
        with t.div():
            t.h3(image.name)
            t.p(rank, cls="rank")
            with t.dl():
                for name, value in image.metrics.items():
                    t.div(t.dt(name), t.dd(_figure(value, METRICS[name].unit)))
        with t.div(cls="three"):
            for kind, alt in zip(VISUALS, _alternatives(image), strict=True):
                source = quote(f"images/{image.name}_{kind}.png")
                with t.figure():
                    t.a(t.img(src=source, alt=alt, loading="lazy", width=1, height=1), href=source)
                    t.figcaption(kind)


def _alternatives(image: Image) -> tuple[str, str, str]:
    figures = ", ".join(f"{name} {_figure(value)}" for name, value in image.metrics.items())
    return (
        f"Pair {image.name}, what the generator was given",
        f"Pair {image.name}, what it made of that: {figures}",
        f"Pair {image.name}, what is real",
    )


def _number(image: Image, metric: str) -> float:
    value = image.metrics[metric]
    return float("inf") if value is None else value


def _figure(value: float | None, unit: str = "") -> str:
    return INFINITE if value is None else f"{four(value)} {unit}".strip()
