"""How long each stage of the network takes, what a re-run saves, what half the bits cost, and memory."""

import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.ops import box_iou

from maskseg_nb import SAMPLES, Prediction, Trace, load_model, predict, preprocess, sample_photo, trace
from maskseg_nb.models.bfloat16 import fold_batch_norms, has_native_bfloat16, to_bfloat16
from maskseg_nb.models.zoo import MODELS

from .measure import PHOTO, Target, load

ROUNDS = 7  # each measures everything once, so that a slow moment affects all equally
PASTED = 100 * 800 * 800 * 4  # bytes of 100 float32 masks of 800 x 800


def bench_network() -> list[Target]:
    """Print what the network costs, on maskrcnn_resnet50_fpn with random weights; return the targets."""
    tensor, _ = preprocess(sample_photo(PHOTO))
    model = random_resnet()
    targets = [*bench_chain(model, tensor), *bench_precision(model, tensor)]
    print_drift()
    return [*targets, *bench_memory()]


def random_resnet() -> MaskRCNN:
    """`coco` without its weights, and with a score floor of 0, so that there are 100 detections."""
    torch.manual_seed(0)
    known = MODELS["coco"]
    model = known.build(len(known.categories)).eval()
    model.roi_heads.score_thresh = 0.0
    return model


def times_of(actions: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Milliseconds of each action, `ROUNDS` times in turn, after one warm-up run."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(ROUNDS + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if number:
                times[name].append(1000 * (time.perf_counter() - start))
    return times


def ratio(times: dict[str, list[float]], name: str, other: str) -> float:
    """The median over the rounds of the first action's time divided by the second's."""
    return median(a / b for a, b in zip(times[name], times[other], strict=True))


def bench_chain(model: MaskRCNN, tensor: Tensor) -> list[Target]:
    """The chain of stages against torchvision's own forward, and what a changed knob repeats."""
    run = trace(model, tensor)
    count = len(run.prediction)
    runs: list[Trace] = []

    def torchvision_forward() -> None:
        with torch.no_grad():
            model([tensor[0]])

    def whole() -> None:
        runs.append(trace(model, tensor))

    times = times_of(
        {
            "torchvision's forward": torchvision_forward,
            "predict and masks()": lambda: predict(model, tensor).masks(),
            "predict": whole,
            "rerun after box_nms_threshold": lambda: run.rerun(box_nms_threshold=0.3),
            "rerun after rpn_nms_threshold": lambda: run.rerun(rpn_nms_threshold=0.5),
            "select after a threshold": lambda: run.prediction.select(
                score_threshold=0.0, mask_threshold=0.4
            ),
        }
    )
    print(
        f"\nThe network: maskrcnn_resnet50_fpn, random weights, {count} detections, 800 x 800, "
        f"{torch.get_num_threads()} threads, {load()}: ms, median of {ROUNDS}"
    )
    for name, ms in times.items():
        print(f"  {name:<46}{median(ms):>9.1f}")
    print("  the stages of predict:")
    for stage in run.milliseconds:
        print(f"    {stage:<44}{median(r.milliseconds[stage] for r in runs):>9.1f}")
    same = ratio(times, "predict and masks()", "torchvision's forward")
    behind = ratio(times, "rerun after box_nms_threshold", "predict")
    chosen = median(times["select after a threshold"])
    return [
        Target("predict and masks() in at most 1.0 of torchvision's forward", same <= 1.0, f"{same:.2f}"),
        Target("a re-run after a box knob in at most 0.4 of the whole", behind <= 0.4, f"{behind:.2f}"),
        Target(f"select of {count} after a threshold within 20 ms", chosen <= 20, f"{chosen:.1f} ms"),
    ]


def bench_precision(model: MaskRCNN, tensor: Tensor) -> list[Target]:
    """What folding, channels last and bfloat16 gain, each on top of the one before."""
    folded = copy.deepcopy(model)
    fold_batch_norms(folded)
    last = copy.deepcopy(folded).to(memory_format=torch.channels_last)
    half = to_bfloat16(copy.deepcopy(model))
    names = ("float32", "BatchNorm folded", "folded, channels last", "bfloat16")
    times = times_of(
        {
            name: lambda model=model: predict(model, tensor)  # type: ignore[misc]
            for name, model in zip(names, (model, folded, last, half), strict=True)
        }
    )
    print(f"\nPrecision and memory format, the same network, {load()}: ms, and share of float32")
    for name in names:
        print(f"  {name:<46}{median(times[name]):>9.1f}{ratio(times, name, 'float32'):>9.2f}")
    native = has_native_bfloat16(tensor.device)
    print(f"  this processor has bfloat16 instructions: {'yes' if native else 'no'}")
    return [bfloat16_target(ratio(times, "bfloat16", "float32"), native)]


def bfloat16_target(share: float, native: bool) -> Target:
    """`share`: of float32's time; a processor that has to emulate bfloat16 has no target."""
    name = "bfloat16 in at most 0.55 of float32"
    if not native:
        return Target(name, None, "this processor lacks bfloat16 instructions")
    return Target(name, share <= 0.55, f"{share:.2f}")


def print_drift() -> None:
    """How far bfloat16 moves the results of a trained network."""
    exact, half = load_model("street"), load_model("street", precision="bfloat16")
    print("\nDrift of bfloat16, street, all samples: instances scored 0.5 or more, each with its counterpart")
    print(f"  {'':<14}{'instances':>10}{'found again':>13}{'score':>9}{'box IoU':>9}{'mask IoU':>9}")
    for photo in SAMPLES:
        tensor, _ = preprocess(sample_photo(photo))
        found, again = predict(exact, tensor), predict(half, tensor)
        rows = drift(found[found.scores >= 0.5], again)
        if len(rows):
            score, box, mask = rows[:, 0].max(), rows[:, 1].min(), rows[:, 2].min()
            figures = f"{score:>9.3f}{box:>9.3f}{mask:>9.3f}"
        else:
            figures = ""
        print(f"  {photo:<14}{int((found.scores >= 0.5).sum()):>10}{len(rows):>13}{figures}")
    print("  score: the largest change; IoU: the smallest")


def drift(found: Prediction, again: Prediction) -> np.ndarray:
    """For each detection that has a counterpart: score difference, box IoU, mask IoU; (N, 3)."""
    if not len(found) or not len(again):
        return np.zeros((0, 3))
    ious, doubles = box_iou(torch.from_numpy(found.boxes), torch.from_numpy(again.boxes)).max(dim=1)
    twins = again[doubles.numpy()]
    same = (ious.numpy() > 0.5) & (found.labels == twins.labels)
    masks, others = (side.masks()[:, 0] > 0.5 for side in (found, twins))
    mask_ious = (masks & others).sum((1, 2)) / np.maximum((masks | others).sum((1, 2)), 1)
    scores = np.abs(found.scores - twins.scores)
    return np.column_stack([scores, ious.numpy(), mask_ious])[same]


def peak_memory(way: str) -> int:
    """Bytes, as `peak_memory.py` prints them; what is freed goes back to the system at once."""
    command = [sys.executable, "-m", "bench.peak_memory", way]
    environment = {
        **os.environ,
        "MALLOC_MMAP_THRESHOLD_": "1000000",
    }  # else the C library keeps what was freed
    child = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return int(child.stdout)


def bench_memory() -> list[Target]:
    """The peak memory of one prediction above the model's own, each in its own process."""
    name = "predict's peak at most torchvision's minus its masks"
    if not Path("/proc/self/clear_refs").exists():
        return [Target(name, None, "this system lacks /proc/self/clear_refs, which Linux has")]
    peaks = {way: peak_memory(way) for way in ("torchvision", "predict")}
    allowed = peaks["torchvision"] - PASTED
    print("\nPeak memory above the model's own, one picture of 800 x 800 with 100 detections: MB")
    print(f"  {'torchvision forward':<46}{peaks['torchvision'] / 1e6:>9.0f}")
    print(f"  {'the same minus 100 pasted masks':<46}{allowed / 1e6:>9.0f}")
    print(f"  {'predict':<46}{peaks['predict'] / 1e6:>9.0f}")
    measured = f"{peaks['predict'] / 1e6:.0f} of {allowed / 1e6:.0f} MB"
    return [Target(name, peaks["predict"] <= allowed, measured)]
