"""Set before torch is imported, and inherited by the notebooks' kernels."""

import os

os.environ["MASKSEG_NB_MODEL"] = "street"  # nothing to download; the notebooks' outputs come from it
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the Makefile: spinning threads are slow
