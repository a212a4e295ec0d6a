"""Runs through the network that no network made: their boxes and scores are written down by hand."""

from dataclasses import replace

import numpy as np
import torch

from maskseg_nb.mask_rcnn import stages
from maskseg_nb.mask_rcnn.knobs import Knobs
from maskseg_nb.mask_rcnn.trace import BOX_KNOBS, RPN_KNOBS, STAGES, Trace
from small_models import tiny_model

CATEGORIES = ("__background__", "person", "bicycle")
SIDE = 100  # pixels of the image, and of the network's input
KNOBS = Knobs(10, 10, 0.7, 0.0, 1e-3, 0.05, 0.5, 10)


def shifted(across, down=0.0):
    """The box 20, 20, 60, 60, moved by some pixels."""
    return [20.0 + across, 20.0 + down, 60.0 + across, 60.0 + down]


def hand_made(anchors, *, moved=None, objectness=None, refined=None, person=None, mask=1.0, **knobs):
    """A run with one anchor a row, each with the box that the two heads make of it.

    Args:
        anchors, moved, refined: A box per anchor; what is not given stays where it was.
        objectness, person: In [0, 1] per anchor, falling where they are not given; the rest is background.
        mask: The probability of every mask's pixels.
        knobs: Those that are not `KNOBS`.
    """
    model, count, chosen = tiny_model(CATEGORIES), len(anchors), replace(KNOBS, **knobs)
    rows = torch.arange(count)
    falling = torch.linspace(0.99, 0.9, count)
    objectness = falling if objectness is None else torch.tensor(objectness)
    person = falling if person is None else torch.tensor(person)
    boxes = torch.tensor(anchors)
    moved = boxes if moved is None else torch.tensor(moved)
    refined = moved if refined is None else torch.tensor(refined)
    inputs = stages.Normalised(torch.zeros(1, 3, SIDE, SIDE), (SIDE, SIDE), (SIDE, SIDE))
    maps = {"0": torch.zeros(1, 8, 25, 25), "1": torch.zeros(1, 8, 12, 12)}
    fpn = stages.Features({}, maps, ((4, 4), (8, 8)))
    rpn = stages.Anchors(
        boxes, torch.zeros_like(rows), objectness.logit(), torch.zeros(count, 4), moved, ((1, count, 1),)
    )
    proposals = stages.proposals(inputs, rpn, **{knob: getattr(chosen, knob) for knob in RPN_KNOBS})
    scores = torch.stack([1 - person, person, torch.zeros(count)], dim=1)[proposals.anchors]
    named = refined[proposals.anchors][:, None].repeat(1, len(CATEGORIES), 1)
    box_scores = stages.BoxScores(torch.zeros_like(proposals.anchors), scores, named)
    found = stages.detections(box_scores, **{knob: getattr(chosen, knob) for knob in BOX_KNOBS})
    probs = torch.full((len(found.scores), 28, 28), mask)
    masks = stages.Masks(probs.logit()[:, None].repeat(1, len(CATEGORIES), 1, 1), probs)
    return Trace(
        model, chosen, inputs, fpn, rpn, proposals, box_scores, found, masks, dict.fromkeys(STAGES, 0.0), ()
    )


def square(*boxes):
    """bool (N, SIDE, SIDE): masks that fill boxes of whole pixels."""
    masks = np.zeros((len(boxes), SIDE, SIDE), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, np.array(boxes, int), strict=True):
        mask[y1:y2, x1:x2] = True
    return masks
