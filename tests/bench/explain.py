"""How long an explanation takes, on the shipped model."""

from maskseg_nb import compare, load_model, preprocess, receipt, rescue, trace, voc_photograph, without
from maskseg_nb.explain.pixels import pixel_gradient
from maskseg_nb.explain.plane import knob_plane
from maskseg_nb.explain.post_mortem import examine
from maskseg_nb.mask_rcnn.follow import lost

from .measure import Target, load, median_ms

LOST = 6  # the best proposals that became no detection


def bench_explain() -> list[Target]:
    """Print what each explanation of one photograph takes; return the targets."""
    image, truth = voc_photograph()[0]
    tensor, _ = preprocess(image, truth.image_size)
    run = trace(load_model("street"), tensor)
    found = receipt(run, 0)
    boxes = lost(run, LOST)
    turned = run.rerun(box_nms_threshold=0.3)
    rescues = [median_ms(lambda box=box: rescue(run, *box), 3) for box in boxes]  # type: ignore[misc]
    times = {
        "receipt": median_ms(lambda: receipt(run, 0)),
        "post-mortem, beyond the trace": median_ms(lambda: examine(run, truth)),
        f"rescue, the slowest of {LOST} lost boxes": max(rescues),
        "without": median_ms(lambda: without(run, 0)),
        "plane of two knobs, 101 x 101": median_ms(lambda: knob_plane(run, *boxes[0])),
        "compare, beyond the two traces": median_ms(lambda: compare(run, turned)),
        "gradient by pixel": median_ms(lambda: pixel_gradient(found, tensor), 5),
    }
    print(f"\nExplanations, street, {truth.image_size[1]} x {truth.image_size[0]}, {load()}: median ms")
    for name, ms in times.items():
        print(f"  {name:<46}{ms:>9.1f}")
    bill, mortem, slowest = list(times.values())[:3]
    return [
        Target("receipt within 50 ms", bill <= 50, f"{bill:.0f} ms"),
        Target("post-mortem of a photograph within 100 ms", mortem <= 100, f"{mortem:.0f} ms"),
        Target("rescue within 2 s", slowest <= 2000, f"{slowest:.0f} ms"),
    ]
