"""Print the bytes that one prediction needs at its peak, above what the model needs; Linux only.

Run it in a process of its own, with "torchvision" or "predict" for the chain that is to run.
"""

import ctypes
import gc
import sys
from pathlib import Path

import torch

from maskseg_nb import predict, preprocess, sample_photo

from .measure import PHOTO
from .network import random_resnet


def kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


tensor, _ = preprocess(sample_photo(PHOTO))
model = random_resnet()
with torch.no_grad():
    predict(model, tensor[:, :, ::8, ::8].contiguous())  # torch's one-time set-up does not count
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed does not count as the model's
    before = kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    found = model([tensor[0]])[0]["scores"] if sys.argv[1] == "torchvision" else predict(model, tensor).scores
assert len(found) == 100
print(1024 * (kilobytes("VmHWM") - before))
