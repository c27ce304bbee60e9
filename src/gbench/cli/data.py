"""`gbench data`: prepare, synth, verify, stats."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.shared.output import echo, print_json
from gbench.cli.shared.run_options import FILE, FOLDER, NATURAL, json_option, out_option
from gbench.errors import GbenchError, UsageError

if TYPE_CHECKING:
    from gbench.datasets.manifest import PreparedDataset
    from gbench.datasets.stats import DatasetStats

_folder = click.Path(file_okay=False, path_type=Path)


def _place(name: str) -> Path:
    """Where a launch looks for the dataset of this name first."""
    from gbench.settings.defaults import folder_of

    return folder_of("datasets_dir", os.environ) / name


def _root(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path:
    """The folder given, or the default's. Raises UsageError: the default's is not there."""
    root = value or _place("facades")
    if value is None and not root.exists():
        raise UsageError(f"there is no dataset in {root}", "`gbench data prepare facades` makes it; or give its folder")
    return root


_root_argument = click.argument("root", type=FOLDER, required=False, callback=_root)


def _out_option(name: str) -> Callable[[Any], Any]:
    text = f"The dataset's folder; never overwritten. Default: {name} in $DATASETS_DIR or data."
    return out_option(text, type=_folder, default=lambda: _place(name), show_default=False)


@click.group()
def data() -> None:
    """Prepare, draw, verify and describe datasets.

    A dataset is a folder with train, val and test, each full of PNG or JPEG pairs side by side: A left, B right.
    """


@data.command()
@click.argument("name", type=click.Choice(["facades"]))
@_out_option("facades")
@click.option("--url", metavar="URL", help="Download the archive from this mirror.")
@click.option("--archive", type=FILE, help="Use this local copy; download nothing.")
@json_option
def prepare(name: str, out: Path, url: str | None, archive: Path | None, as_json: bool) -> None:
    """Download, unpack and check a published dataset.

    Writes its manifest. A partial download is resumed. An existing dataset is verified, never overwritten.

    \b
    Examples:
      gbench data prepare facades
      gbench data prepare facades --archive ~/Downloads/facades.tar.gz
    """
    from gbench.datasets import facades

    if url and archive:
        raise click.UsageError("Give --url or --archive, not both.")
    with _progress("downloading", facades.ARCHIVE_BYTES, bytes_=True) as advance_to:
        prepared = facades.prepare(out, url or facades.URL, archive, advance_to)
    _print_prepared(out, prepared, as_json)


@data.command()
@_out_option("synthetic")
@click.option("--count", type=NATURAL, help="Images in each phase.")
@click.option("--train", type=NATURAL, help="Images in train  [default: --count, else 400]")
@click.option("--val", type=NATURAL, help="Images in val  [default: --count, else 100]")
@click.option("--test", type=NATURAL, help="Images in test  [default: --count, else 106]")
@click.option("--size", type=click.IntRange(16, 4096), default=256, help="Side of a half in pixels.")
@click.option("--seed", type=NATURAL, default=0, help="Seed of the drawing.")
@json_option
def synth(out: Path, count: int | None, size: int, seed: int, as_json: bool, **of_phase: int | None) -> None:
    """Draw a synthetic facades dataset.

    It has label maps in the CMP palette, and matching photo-like pictures. An image depends only on seed, phase, number
    and size, not on how many are drawn.

    \b
    Examples:
      gbench data synth --count 8
      gbench data synth --out data/small --train 64 --val 0 --test 8 --size 64
    """
    from gbench.datasets import facades
    from gbench.datasets import synth as drawing

    counts = facades.COUNTS if count is None else dict.fromkeys(facades.COUNTS, count)
    counts = {**counts, **{phase: number for phase, number in of_phase.items() if number is not None}}
    if not sum(counts.values()):
        raise click.UsageError("No images requested: give --count, --train, --val or --test.")
    with _progress("drawing", sum(counts.values())) as advance_to:
        prepared = drawing.synth(out, counts, size, seed, advance_to, _cores())
    _print_prepared(out, prepared, as_json)


@data.command()
@_root_argument
@json_option
def verify(root: Path, as_json: bool) -> None:
    """Check a dataset against its manifest.

    ROOT defaults to facades in $DATASETS_DIR or data. Exit code 1 if a file is missing, changed or extra.

    \b
    Examples:
      gbench data verify
      gbench data verify /data/facades --json
    """
    from gbench.datasets import manifest

    expected = manifest.read_manifest(root)
    problems = manifest.find_problems(root, expected)
    if as_json:
        listed = [problem._asdict() for problem in problems]
        sha256 = expected.dataset_sha256
        print_json({"root": str(root), "intact": not problems, "dataset_sha256": sha256, "problems": listed})
    else:
        for problem in problems:
            echo(str(problem))
    if problems:
        raise GbenchError(
            f"the dataset in {root} differs from its manifest in {len(problems)} place(s)",
            "restore those files, or move the folder away and prepare it again",
        )
    if not as_json:
        echo(f"{root}: {len(expected.files)} images match the manifest, sha256 {expected.dataset_sha256}")


@data.command()
@_root_argument
@json_option
def stats(root: Path, as_json: bool) -> None:
    """Print counts, sizes and colours of a dataset.

    ROOT defaults to facades in $DATASETS_DIR or data.

    \b
    Examples:
      gbench data stats
      gbench data stats /data/facades --json
    """
    from gbench.datasets import layout
    from gbench.datasets.stats import stats as compute

    images = sum(len(layout.list_images(root / phase)) for phase in layout.PHASES)
    with _progress("reading", images) as advance_to:
        result = compute(root, advance_to, _cores())
    for doubt in (doubt for phase in layout.phases_in(root) for doubt in layout.doubts(root, phase)):
        echo(f"warning: {doubt}", err=True)
    if as_json:
        print_json(result.model_dump())
    else:
        _print_stats(result)


def _cores() -> int:
    """How many this process may use, by its affinity and control groups."""
    from gbench.machine.gpus import Gpus
    from gbench.preflight.cgroups import usable_cores
    from gbench.preflight.rule import CheckedRun, Context

    return usable_cores(Context(CheckedRun("cpu", "local"), Gpus(), (), Path("/")))


def _print_prepared(root: Path, prepared: "PreparedDataset", as_json: bool) -> None:
    manifest, fresh = prepared
    if as_json:
        print_json({"root": str(root), "fresh": fresh, **manifest.model_dump(exclude={"manifest_version", "files"})})
        return
    counts = ", ".join(f"{number} {phase}" for phase, number in manifest.counts.items())
    how = "prepared" if fresh else "exists and matches its manifest"
    shown = f"{root}: {counts} images; {how}\nsource {manifest.source}\nsha256 {manifest.dataset_sha256}"
    echo(shown)


def _print_stats(result: "DatasetStats") -> None:
    echo(f"{result.root}: sha256 {result.dataset_sha256}")
    for name, phase in result.phases.items():
        sizes = ", ".join(f"{count} of {size}" for size, count in phase.sizes.items())
        echo(f"{name}: {phase.images} images, {phase.size_bytes / 1e6:.1f} MB ({sizes})")
        for half, figures in (("A", phase.a), ("B", phase.b)):
            mean, std = (" ".join(f"{value:5.1f}" for value in values) for values in (figures.mean, figures.std))
            echo(f"  {half}  mean RGB {mean}  std {std}")
        shares = sorted(phase.label_shares.items(), key=lambda item: -item[1])
        echo("  B by class: " + ", ".join(f"{label} {100 * share:.1f} %" for label, share in shares if share))


@contextmanager
def _progress(what: str, total: int, bytes_: bool = False) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr. It appears with the first call of the yielded function, which takes the amount done."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    amount = DownloadColumn() if bytes_ else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(what, total=total)

    def advance_to(done: int) -> None:
        bar.start()
        bar.update(task, completed=done)

    try:
        yield advance_to
    finally:
        if bar.live.is_started:
            bar.stop()
