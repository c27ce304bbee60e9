"""Loads pairs of images onto the device: decoded from files, cached, resident or synthetic."""
