"""What a trained model says of itself."""

import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import torchvision

from ..evaluation.evaluate import Evaluation
from .loop import TrainingState


def model_card(
    state: TrainingState, labels: list[np.ndarray], evaluation: Evaluation | None, notes: str
) -> str:
    """A model card in Markdown: what the model finds, what it learned from, how, and how good it is.

    Args:
        state: The training, after its last step.
        labels: Each training picture's labels, int64 (K,).
        evaluation: On the validation set; None where there is none.
        notes: Markdown of the author's own.
    """
    model, settings = state.model, state.identity["settings"]
    names, transform = model.categories, model.transform
    counts = np.bincount(np.concatenate(labels), minlength=len(names))
    last = np.array(state.losses)[-50:].sum(axis=1).mean()
    rows = "\n".join(f"| {name} | {value} |" for name, value in flat(settings).items())
    metrics = "Nobody knows: no pictures were held out."
    if evaluation:
        count = len(evaluation.pictures)
        metrics = f"On {count} pictures that were held out, COCO's figures:\n\n```\n{evaluation}\n```"
    return f"""# Model card

Finds {", ".join(names[1:])}. A `MaskRCNN` of torchvision's, to be read with `maskseg_nb.load_model`.
Its input's short side is scaled to {transform.min_size[-1]} pixels, the longest to at most \
{transform.max_size}.

## Trained on

{len(labels)} pictures, {sum(len(row) == 0 for row in labels)} of them with nothing to be found; instances: \
{", ".join(f"{name} {count}" for name, count in zip(names[1:], counts[1:], strict=True))}.

{notes.strip() or "Nobody has said yet where the pictures came from."}

## How good it is

{metrics}

## How it was trained

Mean loss of the last {min(50, len(state.losses))} steps: {last:.3f}.

| setting | value |
|---|---|
{rows}

maskseg_nb {version("maskseg-nb")}, torch {torch.__version__}, torchvision {torchvision.__version__}, \
Python {platform.python_version()}.
"""


def flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, names joined by dots."""
    joined: dict[str, Any] = {}
    for name, value in values.items():
        joined |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return joined
