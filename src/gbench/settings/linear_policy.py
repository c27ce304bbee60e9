"""The learning rate of upstream's linear policy."""


def linear_factor(epochs: int, decay: int, epoch: int) -> float:
    """The share of its initial value that the learning rate has in an epoch, counted from 1.

    Source: junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, `models/networks.py`, `get_scheduler`; moved before each
    epoch.
    """
    return max(0.0, 1.0 - max(0, epoch + 1 - epochs) / (decay + 1))
