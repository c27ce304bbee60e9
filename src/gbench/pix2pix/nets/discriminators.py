"""PatchGAN discriminators (Isola et al. 2017; upstream `models/networks.py` at 003efc4c, `define_D`).

Modules are numbered as upstream's are, so that a state_dict passes between the two unchanged. The output is a map of
logits, one for each patch.
"""

from collections.abc import Callable

from torch import Tensor, nn

from gbench.pix2pix.nets.choices import pick
from gbench.pix2pix.nets.init import init_weights
from gbench.pix2pix.nets.norm import Norm, build_norm


class PatchDiscriminator(nn.Module):
    """Classifies overlapping patches: (N, input_nc, H, W) to (N, 1, h, w).

    With 3 layers a patch has 70x70 pixels, and an image of 256x256 has 30x30 of them.
    """

    def __init__(self, input_nc: int, ndf: int, n_layers: int, norm: Norm) -> None:
        super().__init__()
        widths = [ndf * min(2**layer, 8) for layer in range(n_layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(input_nc, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for layer in range(1, n_layers + 1):
            stride = 2 if layer < n_layers else 1
            layers += [
                nn.Conv2d(widths[layer - 1], widths[layer], 4, stride=stride, padding=1, bias=norm.conv_bias),
                norm.make(widths[layer]),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits


class PixelDiscriminator(nn.Module):
    """Classifies each pixel, by 1x1 convolutions: (N, input_nc, H, W) to (N, 1, H, W)."""

    def __init__(self, input_nc: int, ndf: int, norm: Norm) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(input_nc, ndf, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 1, bias=norm.conv_bias),
            norm.make(ndf * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, 1, 1, bias=norm.conv_bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits


def build_discriminator(
    netD: str,
    input_nc: int = 6,
    ndf: int = 64,
    n_layers: int = 3,
    norm: str = "batch",
    *,
    init_type: str = "normal",
    init_gain: float = 0.02,
) -> nn.Module:
    """A discriminator with freshly drawn weights, on torch's default device, in training mode.

    Args:
        netD: basic (three layers, whatever `n_layers` says), n_layers or pixel.
        input_nc: input channels: those of the condition and of the image.
        ndf: channels of its first convolution.
        n_layers: inner convolutions of `n_layers`; more of them give larger patches.
        norm: batch, instance or none.
        init_type, init_gain: see `init_weights`.

    Raises UsageError: unknown name.
    """
    layer = build_norm(norm)
    kinds: dict[str, Callable[[], nn.Module]] = {
        "basic": lambda: PatchDiscriminator(input_nc, ndf, 3, layer),
        "n_layers": lambda: PatchDiscriminator(input_nc, ndf, n_layers, layer),
        "pixel": lambda: PixelDiscriminator(input_nc, ndf, layer),
    }
    net = pick("netD", netD, kinds)()
    init_weights(net, init_type, init_gain)
    return net
