"""Pairs of images on their way to the device: decoded from files, cached, resident or synthetic."""
