"""Learning-rate policies (upstream `models/networks.py` at 003efc4c, `get_scheduler`).

Upstream's `train.py` at that commit moves the schedulers at the START of each epoch, before its first step: epoch e
(from 1) runs at the rate after e moves. `start_epoch` is one move. So linear 100 + 100 from 2e-4 starts to decay in
epoch 100 (1.9802e-4), and epoch 200, the last one, runs at 0.
"""

import warnings
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, ReduceLROnPlateau, StepLR

from gbench.pix2pix.nets.choices import pick
from gbench.settings.linear_policy import linear_factor


def build_scheduler(
    optimizer: Optimizer, policy: str, epochs: int, epochs_decay: int, lr_decay_iters: int, epoch_count: int = 1
) -> LRScheduler:
    """The schedule of one optimiser, before its first epoch; its initial rate is the optimiser's.

    linear: constant for about `epochs`, then in equal steps to 0 in the last of `epochs_decay`, 0 after it.
    step: times 0.1 every `lr_decay_iters` epochs.
    plateau: times 0.2 once the metric has not fallen by 1 % for more than 5 epochs.
    cosine: half a cosine to 0 in epoch `epochs`; it rises after it, as upstream ignores `epochs_decay`.

    epoch_count: the first epoch to run, for a run that continues from weights without schedulers (linear only).

    Raises UsageError: unknown policy.
    """

    policies: dict[str, Callable[[], LRScheduler]] = {
        "linear": lambda: LambdaLR(
            optimizer, lambda moves: linear_factor(epochs, epochs_decay, moves + epoch_count - 1)
        ),
        "step": lambda: StepLR(optimizer, step_size=lr_decay_iters, gamma=0.1),
        "plateau": lambda: ReduceLROnPlateau(optimizer, mode="min", factor=0.2, threshold=0.01, patience=5),
        "cosine": lambda: CosineAnnealingLR(optimizer, T_max=epochs, eta_min=0),
    }
    return pick("lr_policy", policy, policies)()


def start_epoch(scheduler: LRScheduler, metric: float = 0.0) -> None:
    """Move `scheduler` to the next epoch, before its first step.

    metric: input of plateau. Upstream's pix2pix leaves it at 0, so that plateau decays in epoch 7 and every 6 after it.
    """
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(metric)
        return
    with warnings.catch_warnings():
        # torch expects an optimiser step before the first move; here the move comes first on purpose.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step", category=UserWarning)
        scheduler.step()
