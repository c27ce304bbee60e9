"""LPIPS, FID and KID by torchmetrics, with weights from files; nothing is downloaded."""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
import torchvision
from torch import Tensor

from gbench.errors import UsageError
from gbench.pix2pix import checkpoint
from gbench.pix2pix.data.transforms import Levels
from gbench.pix2pix.image_metrics import as_batch

# torchmetrics' name of LPIPS's network -> torchvision's weights, a key that only they have, and its shape
Backbone = Literal["alex", "vgg", "squeeze"]
BACKBONES: dict[Backbone, tuple[torchvision.models.WeightsEnum, str, tuple[int, ...]]] = {
    "alex": (torchvision.models.AlexNet_Weights.DEFAULT, "features.0.weight", (64, 3, 11, 11)),
    "vgg": (torchvision.models.VGG16_Weights.DEFAULT, "features.28.weight", (512, 512, 3, 3)),
    "squeeze": (torchvision.models.SqueezeNet1_1_Weights.DEFAULT, "features.3.squeeze.weight", (16, 64, 1, 1)),
}


def build_lpips(weights: Path, name: str) -> Callable[[Levels, Levels], float]:
    """LPIPS (Zhang et al. 2018) between two images; the linear layers are torchmetrics' own.

    weights: torchvision's weights of alexnet, vgg16 or squeezenet1_1. name: of that file in messages.

    Raises InfrastructureError, UsageError: it can't be loaded, or has other weights.
    """
    from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

    state = checkpoint.load(weights)
    shapes = {key: getattr(value, "shape", None) for key, value in state.items()} if isinstance(state, dict) else {}
    backbone = next((net for net, (_, key, shape) in BACKBONES.items() if shapes.get(key) == shape), None)
    if backbone is None:
        raise UsageError(
            f"--lpips-weights {name} holds no weights of alexnet, vgg16 or squeezenet1_1",
            f"give torchvision's, such as {_file_name('alex')}",
        )
    # torchmetrics only reads torch's cache: link the file into a temporary one, so that nothing is downloaded.
    before = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as cache:
        cached = Path(cache) / "checkpoints" / _file_name(backbone)
        cached.parent.mkdir()
        cached.symlink_to(weights.resolve())
        torch.hub.set_dir(cache)
        try:
            with _quiet():
                measure = LearnedPerceptualImagePatchSimilarity(net_type=backbone)
        except RuntimeError as error:
            raise UsageError(
                f"--lpips-weights {name} is an incomplete {backbone} ({_first_line(error)})", "take another file"
            ) from error
        finally:
            torch.hub.set_dir(before)

    def lpips(fake: Levels, real: Levels) -> float:
        try:
            return float(measure(_unit(fake), _unit(real)))
        except RuntimeError as error:
            size = "x".join(map(str, fake.shape[:2]))
            raise UsageError(
                f"LPIPS by {backbone} can't take images of {size} pixels", "evaluate larger images"
            ) from error

    return lpips


def set_distances(
    weights: Path, name: str, fakes: Sequence[Levels], reals: Sequence[Levels], beat: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """FID (Heusel et al. 2017) and KID (Binkowski et al. 2018) between two sets of at least two images.

    weights: torch-fidelity's weights of Inception v3. name: of that file in messages. beat: called for each image.

    Raises InfrastructureError, UsageError: they can't be loaded, or are other weights.
    """
    from torchmetrics.image import FrechetInceptionDistance, KernelInceptionDistance
    from torchmetrics.image.fid import NoTrainInceptionV3

    checkpoint.load(weights)  # refuses files that would run code, which the library below does not
    try:
        features = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UsageError(
            f"--fid-weights {name} are not the weights of FID's Inception v3 ({_first_line(error)})",
            "give torch-fidelity's weights-inception-2015-12-05-6726825d.pth",
        ) from error
    with _quiet(), torch.no_grad():
        fid = FrechetInceptionDistance(features)
        kid = KernelInceptionDistance(features, subsets=1, subset_size=len(fakes))  # one estimate, of all images
        for measure in (fid, kid):
            for images, real in ((fakes, False), (reals, True)):
                for levels in images:
                    beat()
                    measure.update(as_batch(levels), real=real)
        return {"FID": float(fid.compute()), "KID": float(kid.compute()[0])}


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress torchmetrics' and torchvision's warnings about future versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _file_name(backbone: Backbone) -> str:
    return Path(BACKBONES[backbone][0].url).name


def _unit(levels: Levels) -> Tensor:
    """(height, width, 3) uint8 -> (1, 3, height, width) float32 in [-1, 1], LPIPS's input."""
    return as_batch(levels).float() / 127.5 - 1


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split(":")[0].split())
