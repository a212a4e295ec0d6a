"""How many pictures per second a folder run segments, against the network alone on the same pictures."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from PIL import Image

from maskseg_nb import SAMPLES, load_image, load_model, predict, preprocess, sample_photo, segment_folder

from .measure import Target, load

COPIES = 5  # of each sample photograph, each cut differently
FORMATS = ("overlay", "coco", "csv")


def bench_folder() -> list[Target]:
    """Print pictures per second, on `street`; return the targets."""
    model = load_model("street")
    with tempfile.TemporaryDirectory() as temporary:
        photos = Path(temporary) / "photos"
        photos.mkdir()
        for name in SAMPLES:
            image = load_image(sample_photo(name))
            for number in range(COPIES):
                Image.fromarray(image[8 * number :]).save(photos / f"{name}-{number}.jpg", quality=92)
        tensors = []
        for path in sorted(photos.iterdir()):
            image = load_image(path)
            tensors.append(preprocess(image, size=(image.shape[0], image.shape[1]))[0])
        for tensor in tensors[:3]:
            predict(model, tensor)
        start = time.perf_counter()
        for tensor in tensors:
            predict(model, tensor)
        alone = len(tensors) / (time.perf_counter() - start)

        threads = torch.get_num_threads()
        print(f"\nA folder of {len(tensors)} pictures, {', '.join(FORMATS)}, {load()}")
        print(f"{'pictures per second':<44}{'':>8}")
        print(f"{f'predict alone, {threads} threads in the network':<44}{alone:8.2f}")
        spawn = multiprocessing.get_context("spawn")
        ways: dict[str, Callable[[], AbstractContextManager[Executor | None]]] = {
            f"segment_folder, {threads} pictures at a time": lambda: nullcontext(None),
            f"the same in {threads} processes, including their start": lambda: ProcessPoolExecutor(
                threads, mp_context=spawn
            ),
        }
        rates = []
        for number, (name, make) in enumerate(ways.items()):
            with make() as executor:
                result = segment_folder(
                    photos,
                    Path(temporary) / str(number),
                    "street",
                    formats=FORMATS,
                    executor=executor,
                    progress=False,
                )
            rates.append(len(result.paths) / result.seconds)
            print(f"{name:<44}{rates[-1]:8.2f}")
    share = rates[0] / alone
    return [Target("folder: the rate of predict alone, 0.9 or more", share >= 0.9, f"{share:.2f}")]
