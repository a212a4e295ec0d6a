"""How fast masks are drawn, by this package and by others."""

import numpy as np
import supervision
import torch
from torchvision.utils import draw_segmentation_masks

from maskseg_nb import (
    Prediction,
    draw_instances,
    load_model,
    overlay_segmentation_mask,
    predict,
    preprocess,
    sample_photo,
)
from maskseg_nb.apps.picture_view import JPEG_OPTIONS
from maskseg_nb.data.codec import encoded

from .measure import PHOTO, RUNS, Target, median_ms

COUNTS = (5, 20, 100)


def bench_drawing() -> list[Target]:
    """Print the table of drawing times; return the targets."""
    tensor, image = preprocess(sample_photo(PHOTO))
    found = predict(load_model("street"), tensor)
    times = {count: drawing_times(image, with_rows(found, count)) for count in COUNTS}

    print(f"\nDrawing on {PHOTO}, {image.shape[1]} x {image.shape[0]}: median ms of {RUNS}, and instances")
    print(f"  {'':<46}" + "".join(f"{count:>9}" for count in COUNTS))
    for name in times[COUNTS[0]]:
        print(f"  {name:<46}" + "".join(f"{times[count][name]:>9.2f}" for count in COUNTS))
    ratios = {}
    for name in ("draw_instances, no labels", "draw_instances, labels"):
        ratios[name] = {count: t["supervision MaskAnnotator"] / t[name] for count, t in times.items()}
        title = f"supervision / {name}"
        print(f"  {title:<46}" + "".join(f"{ratios[name][count]:>8.1f}x" for count in COUNTS))

    hundred = with_rows(found, 100)
    held = sum(a.nbytes for a in (hundred.boxes, hundred.labels, hundred.scores, hundred.mask_probs))
    print(f"\nA Prediction of 100 holds {held:,} bytes; its masks() are {hundred.masks().nbytes:,}")
    ratio = ratios["draw_instances, no labels"][20]
    return [
        Target(
            "draw_instances at least 4 times as fast as supervision, 20 instances",
            ratio >= 4,
            f"{ratio:.1f}x",
        ),
        Target("a Prediction of 100 in less than 1 MB", held < 1e6, f"{held / 1e6:.2f} MB"),
    ]


def with_rows(found: Prediction, count: int) -> Prediction:
    """The model's own detections, best first and then over again, each moved a little.

    All score 0.5 or more, so that the default threshold keeps every one.
    """
    random = np.random.default_rng(0)
    many = found[np.arange(count) % len(found)]
    moves = random.uniform(-20, 20, (count, 2)).astype(np.float32)  # pixels
    boxes = np.clip(many.boxes + np.tile(moves, 2), 0, min(found.image_size))
    scores = np.linspace(0.99, 0.5, count, dtype=np.float32)
    return Prediction(boxes, many.labels, scores, many.mask_probs, many.image_size, many.categories)


def drawing_times(image: np.ndarray, prediction: Prediction) -> dict[str, float]:
    """What is measured -> median milliseconds. Each function gets masks in the form it takes."""
    instances = prediction.select()
    assert len(instances) == len(prediction)
    masks = instances.masks  # bool (N, H, W)
    image_tensor = torch.from_numpy(image).permute(2, 0, 1).contiguous()  # (3, H, W)
    masks_tensor = torch.from_numpy(masks)
    detections = supervision.Detections(instances.boxes, mask=masks, class_id=instances.labels)
    annotator = supervision.MaskAnnotator(opacity=0.5, color_lookup=supervision.ColorLookup.INDEX)

    def select_draw_encode() -> bytes:
        return encoded(".jpg", draw_instances(image, prediction.select()), JPEG_OPTIONS)

    return {
        "select + draw_instances (labels) + JPEG": median_ms(select_draw_encode),
        "Prediction.select": median_ms(prediction.select),
        "draw_instances, labels": median_ms(lambda: draw_instances(image, instances)),
        "draw_instances, no labels": median_ms(lambda: draw_instances(image, instances, labels=False)),
        "overlay_segmentation_mask": median_ms(lambda: overlay_segmentation_mask(image, masks)),
        "torchvision draw_segmentation_masks": median_ms(
            lambda: draw_segmentation_masks(image_tensor, masks_tensor, alpha=0.5)
        ),
        # It draws into the image that it is given; all the others return a new one.
        "supervision MaskAnnotator": median_ms(lambda: annotator.annotate(image.copy(), detections)),
    }
