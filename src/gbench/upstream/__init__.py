"""Run and time upstream's own, unchanged train.py (junyanz/pytorch-CycleGAN-and-pix2pix) for comparison.

scripts/pt-pix2pix-upstream.sh starts this instead of our worker. The project contains no code of upstream: it uses an
existing clone or makes one, at the commit that CODE_LINK names.
"""
