"""Fixtures of the system tests."""

from docker_engine import base_image, docker_client

__all__ = ["base_image", "docker_client"]
