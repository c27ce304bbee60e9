"""ResNet and U-Net generators (upstream `models/networks.py` at 003efc4c, `define_G`).

Modules are built and numbered as upstream's are, so that a state_dict passes between the two unchanged; `dropout` is a
numbered layer and moves those after it. Both kinds map (N, input_nc, H, W) to (N, output_nc, H, W) in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from gbench.pix2pix.nets.choices import pick
from gbench.pix2pix.nets.dropout import Dropout
from gbench.pix2pix.nets.init import init_weights
from gbench.pix2pix.nets.norm import Norm, build_norm


class ResnetBlock(nn.Module):
    """x + f(x), with f two reflect-padded 3x3 convolutions at one width (He et al. 2016, without the final ReLU)."""

    def __init__(self, channels: int, norm: Norm, dropout: bool) -> None:
        super().__init__()

        def convolution() -> list[nn.Module]:
            return [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=norm.conv_bias), norm.make(channels)]

        self.conv_block = nn.Sequential(
            *convolution(), nn.ReLU(inplace=True), *([Dropout(0.5)] if dropout else []), *convolution()
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        return x + y


class ResnetGenerator(nn.Module):
    """Down by 4, `blocks` residual blocks, up by 4 (Johnson et al. 2016). H and W: multiples of 4, at least 8."""

    def __init__(self, input_nc: int, output_nc: int, ngf: int, norm: Norm, dropout: bool, blocks: int) -> None:
        super().__init__()
        bias = norm.conv_bias
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(input_nc, ngf, 7, bias=bias)]
        layers += [norm.make(ngf), nn.ReLU(inplace=True)]
        for width in (ngf, ngf * 2):
            layers += [nn.Conv2d(width, width * 2, 3, stride=2, padding=1, bias=bias)]
            layers += [norm.make(width * 2), nn.ReLU(inplace=True)]
        layers += [ResnetBlock(ngf * 4, norm, dropout) for _ in range(blocks)]
        for width in (ngf * 2, ngf):
            layers += [nn.ConvTranspose2d(width * 2, width, 3, stride=2, padding=1, output_padding=1, bias=bias)]
            layers += [norm.make(width), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


class UnetBlock(nn.Module):
    """One level of the U: halve, run the level below, double; all but the top concatenate their input to the result.

    The leaky ReLU at the start of a level works in place, on the tensor that is concatenated. This changes no result:
    the next layer to read it is a ReLU.
    """

    def __init__(
        self, input_nc: int, inner: int, outer: int, norm: Norm, dropout: bool, below: UnetBlock | None, top: bool
    ) -> None:
        super().__init__()
        down: list[nn.Module] = [nn.Conv2d(input_nc, inner, 4, stride=2, padding=1, bias=norm.conv_bias)]
        if not top:
            down.insert(0, nn.LeakyReLU(0.2, inplace=True))
        if below is not None:
            down += [below] if top else [norm.make(inner), below]
        wide = inner if below is None else inner * 2  # input channels: this level's, and those of the level below
        up_bias = top or norm.conv_bias
        up = [nn.ReLU(inplace=True), nn.ConvTranspose2d(wide, outer, 4, stride=2, padding=1, bias=up_bias)]
        up += [nn.Tanh()] if top else [norm.make(outer)]
        if dropout:
            up.append(Dropout(0.5))
        self.model = nn.Sequential(*down, *up)
        self.top = top

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y if self.top else torch.cat([x, y], 1)


class UnetGenerator(nn.Module):
    """A U of `levels` halvings (Ronneberger et al. 2015). H and W: multiples of 2**levels.

    Widths double from `ngf` up to 8 * ngf; further levels at 8 * ngf have dropout, except the lowest.
    """

    def __init__(self, input_nc: int, output_nc: int, ngf: int, norm: Norm, dropout: bool, levels: int) -> None:
        super().__init__()
        widths = [ngf * min(2**level, 8) for level in range(levels)]
        block = None
        for level in reversed(range(1, levels)):
            drop = dropout and 4 <= level < levels - 1
            block = UnetBlock(widths[level - 1], widths[level], widths[level - 1], norm, drop, block, top=False)
        self.model = UnetBlock(input_nc, widths[0], output_nc, norm, False, block, top=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


GENERATORS: dict[str, Callable[[int, int, int, Norm, bool], nn.Module]] = {
    "resnet_9blocks": partial(ResnetGenerator, blocks=9),
    "resnet_6blocks": partial(ResnetGenerator, blocks=6),
    "unet_256": partial(UnetGenerator, levels=8),
    "unet_128": partial(UnetGenerator, levels=7),
}


def build_generator(
    netG: str,
    input_nc: int = 3,
    output_nc: int = 3,
    ngf: int = 64,
    norm: str = "batch",
    dropout: bool = True,
    *,
    init_type: str = "normal",
    init_gain: float = 0.02,
) -> nn.Module:
    """A generator with freshly drawn weights, on torch's default device, in training mode.

    Args:
        netG: resnet_9blocks, resnet_6blocks, unet_256 or unet_128.
        input_nc, output_nc: channels of its input and output images.
        ngf: channels of its first convolution.
        norm: batch, instance or none.
        dropout: half of the inner features dropped in training.
        init_type, init_gain: see `init_weights`.

    Raises UsageError: unknown name.
    """
    make = pick("netG", netG, GENERATORS)
    net = make(input_nc, output_nc, ngf, build_norm(norm), dropout)
    init_weights(net, init_type, init_gain)
    return net
