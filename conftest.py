"""The tests use the shipped model: nothing to download, and the notebooks' outputs come from it."""

import os

os.environ["MASKSEG_NB_MODEL"] = "street"  # reaches the notebooks' kernels too
