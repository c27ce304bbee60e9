"""Upstream itself as the yardstick: its own train.py (junyanz/pytorch-CycleGAN-and-pix2pix), run and timed as it is.

scripts/pt-pix2pix-upstream.sh starts this in place of our worker. None of its code is in this project: it is found or
fetched, at the commit that CODE_LINK names.
"""
