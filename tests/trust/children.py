"""What a test lets another process do: `python children.py NAME ARGUMENT ...` prints its result as JSON."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from maskseg_nb import (
    ModelError,
    Prediction,
    draw_instances,
    load_model,
    overlay_segmentation_mask,
    predict,
    preprocess,
    sample_photo,
    show_side_by_side,
)
from maskseg_nb.models.download import Download, fetch

PHOTO_SIZE = (256, 320)


def start(name: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Let a fresh process run one of the functions below; `result` waits for what it returns."""
    return subprocess.Popen(
        [sys.executable, __file__, name, *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str], seconds: float = 300) -> Any:
    with process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def outcomes(*urls: str) -> list[dict[str, str]]:
    """Fetch files, and tell of each how its bytes hash, or why there are none."""
    came = []
    for url in urls:
        try:
            came.append({"digest": hashlib.sha256(fetch(Download.from_url(url))).hexdigest()})
        except ModelError as error:
            came.append({"error": str(error)})
    return came


def unprivileged(*urls: str) -> list[dict[str, str]]:
    """`outcomes`, for a user whom permissions bind."""
    if os.getuid() == 0:
        os.setuid(65534)
    return outcomes(*urls)


def good_run() -> dict[str, str]:
    """The shipped model on a sample photograph: digests of what `predict` and torchvision's forward say."""
    torch.set_num_threads(1)
    return digests(load_model("street"))


def digests(model: torch.nn.Module) -> dict[str, str]:
    tensor, _ = preprocess(sample_photo("restaurant"), PHOTO_SIZE)
    found = predict(model, tensor)
    with torch.no_grad():
        (official,) = model(tensor)
    assert len(found) > 0
    return {
        "predict": digest(found),
        "forward": sha256(official[key].numpy() for key in ("boxes", "labels", "scores", "masks")),
    }


def digest(found: Prediction) -> str:
    return sha256([found.boxes, found.labels, found.scores, found.mask_probs])


def sha256(arrays: Any) -> str:
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array))
    return whole.hexdigest()


def after_bad_checkpoints(folder: str) -> dict[str, Any]:
    """Load every file of a folder, all of them bad, and then a good model."""
    torch.set_num_threads(1)
    model = load_model("street")
    digests(model)  # what a run keeps for good is not a leak
    before, refused = resident(), 0
    for path in sorted(Path(folder).iterdir()):
        try:
            load_model(path)
        except ModelError:
            refused += 1
    return {"refused": refused, "grown": resident() - before, **digests(load_model("street"))}


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """The peak. Not ru_maxrss, which starts from what the process that started this one had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def large_picture() -> dict[str, Any]:
    """24 megapixels and 100 detections, from the file to the drawing: bytes above the loaded model."""
    torch.set_num_threads(1)
    model = load_model("street")
    model.roi_heads.detections_per_img, model.roi_heads.score_thresh = 100, 0.0
    photo = cv2.cvtColor(cv2.imread(str(sample_photo("restaurant"))), cv2.COLOR_BGR2RGB)
    before = resident()
    tensor, image = preprocess(photo, (4000, 6000))
    found = predict(model, tensor)
    instances = found.select(score_threshold=0.0)
    drawn = draw_instances(image, instances, outline=True)
    most = peak()
    try:
        found.masks()
        refusal = ""
    except Exception as error:
        refusal = f"{type(error).__name__}: {error}"
    after = peak()
    return {
        "detections": len(instances),
        "drawn": bool((drawn != image).any()),
        "above": most - before,
        "refusal": refusal,
        "above_after_refusal": after - before,
    }


def many_pictures(count: str) -> dict[str, Any]:
    """The whole pipeline on many small pictures: growth of the process in bytes, and figures left open."""
    import gc

    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    torch.set_num_threads(1)
    model, chance = load_model("street"), np.random.default_rng(0)
    model.transform.min_size, model.transform.max_size = (128,), 192  # less work, and as much to leak
    model.roi_heads.detections_per_img = 5
    photo = cv2.cvtColor(cv2.imread(str(sample_photo("restaurant"))), cv2.COLOR_BGR2RGB)

    def one() -> None:
        side = int(chance.integers(150, 250))
        tensor, image = preprocess(photo[: int(chance.integers(100, len(photo)))], (side, side))
        instances = predict(model, tensor).select(score_threshold=0.1)
        draw_instances(image, instances)
        show_side_by_side(image, overlay_segmentation_mask(image, instances.masks))

    for _ in range(20):
        one()
    before = resident()
    for _ in range(int(count)):
        one()
    gc.collect()
    figures = sum(type(thing) is Figure for thing in gc.get_objects())
    return {"grown": resident() - before, "open": plt.get_fignums(), "figures": figures}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
