"""`python -m bench.street FOLDER [--store]`: how good and how fast the shipped model is at several sizes.

The folder is the one that it was trained on; the 86 pictures of its validation set are evaluated. With
--store, the evaluation at the model's own input size becomes the one that comes with the package.
"""

import sys
from itertools import cycle, pairwise
from pathlib import Path
from statistics import mean

import numpy as np
from torchvision.models.detection import MaskRCNN

from maskseg_nb import Evaluation, evaluate, load_model, predict, preprocess
from maskseg_nb.data.datasets import Part
from maskseg_nb.evaluation.stored import SHIPPED, store_evaluation
from maskseg_nb.training.street_recipe import learned_and_held_out

from .measure import median_ms, print_machine

HELD_OUT = 86
TIMED = 20
# (short side, longest side, proposals)
INPUTS = ((512, 832, 300), (544, 884, 300), (576, 936, 200), (576, 936, 300), (640, 1040, 300))


def main(folder: Path, store: bool) -> None:
    """Print a row for the model's own settings and one for each of `INPUTS`; then the first in full."""
    _, held_out = learned_and_held_out(folder, HELD_OUT)
    model = load_model("street")
    own = (model.transform.min_size[0], model.transform.max_size, model.rpn._post_nms_top_n["testing"])
    print_machine()
    print(f"street on {len(held_out)} photographs of the validation set: mask AP50, seconds per photograph")
    names = (*model.categories[1:], "mean", "boxes", "seconds")
    print(f"{'input, proposals':<20}", *(f"{name:>11}" for name in names))
    result = print_row(model, held_out, own)
    for inputs in INPUTS:
        if inputs != own:
            print_row(model, held_out, inputs)
    print(result)
    print_sureness(result)
    if store:
        store_evaluation(result, SHIPPED)


def print_row(model: MaskRCNN, pictures: Part, inputs: tuple[int, int, int]) -> Evaluation:
    """Set the model's inputs, evaluate it, and print how good and how fast it is."""
    set_inputs(model, *inputs)
    seconds = seconds_a_picture(model, pictures)
    result = evaluate(model, pictures, progress=False)
    figures = [result.per_category[name]["AP50"] for name in model.categories[1:]]
    figures += [mean(figures), result.boxes["AP50"], seconds]
    print(f"{'{} {}, {}'.format(*inputs):<20}", *(f"{figure:>11.3f}" for figure in figures), flush=True)
    return result


def print_sureness(result: Evaluation) -> None:
    """The share of true positives (mask IoU 0.5) among instances with such a score: ideally, the score."""
    curve = result.curve()
    right = np.diff(curve.recall * curve.objects, prepend=0)  # 1 where one more object is found
    print("score of the instances, how many there are, their mean score, the share of true positives")
    for least, below in pairwise((0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 1.01)):
        rows = (curve.scores >= least) & (curve.scores < below)
        print(f"  from {least:.2f}{rows.sum():>8}{curve.scores[rows].mean():>8.2f}{right[rows].mean():>8.2f}")


def set_inputs(model: MaskRCNN, short: int, longest: int, proposals: int) -> None:
    """Set a model's input size, and its number of proposals, out of twice as many candidates per level."""
    model.transform.min_size, model.transform.max_size = (short,), longest
    model.rpn._pre_nms_top_n["testing"] = 2 * proposals
    model.rpn._post_nms_top_n["testing"] = proposals


def seconds_a_picture(model: MaskRCNN, pictures: Part) -> float:
    """The median time of `predict` over some pictures, each at its own size."""
    tensors = cycle([preprocess(pictures[index][0], None)[0] for index in range(TIMED)])
    return median_ms(lambda: predict(model, next(tensors)), TIMED) / 1000


main(Path(sys.argv[1]), "--store" in sys.argv[2:])
