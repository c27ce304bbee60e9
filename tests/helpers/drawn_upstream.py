"""A small repository with upstream's command line and log format, whose steps take known times."""

from __future__ import annotations

import subprocess
from pathlib import Path

STEP_S, DATA_S = 0.03, 0.01
# Names and defaults of the options of 003efc4c that a training takes; what is not known is refused, as upstream does.
OPTIONS = """
import argparse

VALUES = {
    "dataroot": None, "name": "x", "gpu_ids": "0", "checkpoints_dir": "./checkpoints", "model": "cycle_gan",
    "input_nc": 3, "output_nc": 3, "ngf": 64, "ndf": 64, "netD": "basic", "netG": "unet_256", "n_layers_D": 3,
    "norm": "instance", "init_type": "normal", "init_gain": 0.02, "dataset_mode": "unaligned", "direction": "AtoB",
    "num_threads": 4, "batch_size": 1, "load_size": 286, "crop_size": 256, "max_dataset_size": 10**9,
    "preprocess": "resize_and_crop", "display_winsize": 256, "epoch": "latest", "load_iter": 0, "suffix": "",
    "display_freq": 400, "display_ncols": 4, "display_id": 1, "display_server": "http://localhost",
    "display_env": "main", "display_port": 8097, "update_html_freq": 1000, "print_freq": 100,
    "save_latest_freq": 5000, "save_epoch_freq": 5, "epoch_count": 1, "phase": "train", "n_epochs": 100,
    "n_epochs_decay": 100, "beta1": 0.5, "lr": 0.0002, "gan_mode": "lsgan", "pool_size": 50, "lr_policy": "linear",
    "lr_decay_iters": 50, "lambda_L1": 100.0,
}
FLAGS = ("no_dropout", "serial_batches", "no_flip", "verbose", "save_by_iter", "continue_train", "no_html", "use_wandb")


def parse():
    parser = argparse.ArgumentParser()
    for name, default in VALUES.items():
        parser.add_argument(f"--{name}", type=str if default is None else type(default), default=default)
    for name in FLAGS:
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()
"""
TRAIN = """
import os
import time

import torch
from options.train_options import parse

if __name__ == "__main__":
    opt = parse()
    assert opt.model == "pix2pix" and opt.gpu_ids == "-1" and opt.display_id <= 0 and opt.no_html, opt
    images = len(os.listdir(os.path.join(opt.dataroot, opt.phase)))
    images = min(images, opt.max_dataset_size)
    weight = torch.zeros(8, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=opt.lr)
    total_iters = 0
    for epoch in range(opt.epoch_count, opt.n_epochs + opt.n_epochs_decay + 1):
        iter_data_time = time.time()
        epoch_iter = 0
        for _ in range(-(-images // opt.batch_size)):
            time.sleep({data_s})
            iter_start_time = time.time()
            if total_iters % opt.print_freq == 0:
                t_data = iter_start_time - iter_data_time
            total_iters += opt.batch_size
            epoch_iter += opt.batch_size
            loss = ((weight - 1) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            time.sleep({step_s})
            {more}
            if total_iters % opt.print_freq == 0:
                t_comp = (time.time() - iter_start_time) / opt.batch_size
                losses = dict(G_GAN=0.7, G_L1=float(loss), D_real=0.6, D_fake=0.6)
                message = "(epoch: %d, iters: %d, time: %.3f, data: %.3f) " % (epoch, epoch_iter, t_comp, t_data)
                print(message + "".join("%s: %.3f " % item for item in losses.items()))
            iter_data_time = time.time()
        print("End of epoch %d" % epoch)
"""


def git(folder: Path, *arguments: str) -> str:
    """The output of git in a folder, independent of the user's configuration."""
    identity = ["-c", "user.name=drawn", "-c", "user.email=drawn@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def draw(folder: Path, train: str | None = None, more: str = "pass") -> str:
    """Make the repository in a new folder; returns its commit.

    Args:
        train: content of train.py; None: the complete one. more: a statement to run in each step of the complete one.
    """
    whole = TRAIN.format(data_s=DATA_S, step_s=STEP_S, more=more)
    (folder / "options").mkdir(parents=True)
    (folder / "options" / "__init__.py").touch()
    (folder / "options" / "train_options.py").write_text(OPTIONS)
    (folder / "train.py").write_text(whole if train is None else train)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "drawn")
    return git(folder, "rev-parse", "HEAD")
