"""The dataset on disk: download, draw, verify, describe.

In: a folder or an archive. Out: images in `train/`, `val/`, `test/`, and `manifest.json`. Knows nothing of runs.
"""
