"""gbench: one launch of a GPU training benchmark, one performance record that can be defended."""

__version__ = "0.1.0"
