"""What the benchmarks share: how a median is taken, what a target is, and on what machine it all ran."""

import os
import platform
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cv2
import supervision
import torch
import torchvision

PHOTO = "restaurant"
RUNS = 15


class Target(NamedTuple):
    """A target, whether it was reached, and what was measured.

    Where the machine cannot try it, `reached` is None, and `measured` says what is lacking.
    """

    name: str
    reached: bool | None
    measured: str

    def __str__(self) -> str:
        if self.reached is None:
            return f"{self.name}: not tried: {self.measured}"
        return f"{self.name}: {'reached' if self.reached else 'MISSED'} ({self.measured})"


def median_ms(action: Callable[[], object], runs: int = RUNS) -> float:
    """The median time of so many runs of an action."""
    for _ in range(2):  # the first runs fill caches
        action()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


def print_machine() -> None:
    """Print the machine and the versions that the numbers below were measured with."""
    print(f"{datetime.now():%Y-%m-%d %H:%M}, {cpu_model()}, {os.cpu_count()} cores, {load()}")
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, OpenCV {cv2.__version__}, supervision {supervision.__version__}"
    )


def cpu_model() -> str:
    """The processor's name, if the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")


def load() -> str:
    """The machine's load average."""
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
