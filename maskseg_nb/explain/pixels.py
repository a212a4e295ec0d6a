"""Behind a receipt: which pixels the score hangs on. No sum any more, but two ways to ask.

From pixels to features the network is far from linear (group norms, thousands of ReLUs), so a gradient says
what an infinitely small change would do, and only that. A patch laid over the photograph says what that very
patch does. In both, the box that the box head reads stays where it is.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .._shared.checks import is_whole
from ..errors import quoted
from ..mask_rcnn import stages
from ..mask_rcnn.checks import check_tensor
from ..mask_rcnn.roi_align import pooled
from .receipt import Receipt, head_logits

GREY = 0.5  # of [0, 1]: what a patch is filled with
PATCHES = 8  # along the longer side, where no size is given


@dataclass(frozen=True, eq=False)
class PixelGradient:
    """How a margin would answer to a very small change of each pixel.

    Attributes:
        receipt: Whose margin.
        gradient: float32 (3, H, W): logits per unit of a channel's value, which is in [0, 1].
    """

    receipt: Receipt
    gradient: np.ndarray

    @property
    def strength(self) -> np.ndarray:
        """float32 (H, W): how much a pixel matters, up or down; its channels' absolute values, added."""
        return np.abs(self.gradient).sum(axis=0)

    @property
    def share_inside(self) -> float:
        """How much of it lies in the box that the box head read, [0, 1]; NaN where there is none."""
        strength = self.strength
        height, width = strength.shape
        x1, y1, x2, y2 = np.rint(self.receipt.box).astype(int).clip(0, [width, height] * 2).tolist()
        whole = float(strength.sum(dtype=np.float64))
        return float(strength[y1:y2, x1:x2].sum(dtype=np.float64)) / whole if whole else float("nan")

    def __repr__(self) -> str:
        height, width = self.gradient.shape[1:]
        return f"PixelGradient({height} x {width}, {self.share_inside:.0%} inside the box)"


@dataclass(frozen=True, eq=False)
class Occlusion:
    """A box's score with a grey patch at each of many places.

    Attributes:
        receipt: Whose score: that of its category.
        scores: float64 (rows, columns), [0, 1]; NaN where no patch was tried.
        patch: The patch's side, in pixels.
        stride: From one place to the next, in pixels: the patch of row i, column j has its upper left corner
            at (j * stride, i * stride).
        before: The score without a patch.
    """

    receipt: Receipt
    scores: np.ndarray
    patch: int
    stride: int
    before: float

    @property
    def lowest(self) -> tuple[int, int]:
        """(row, column) of the patch that costs the most score.

        Raises:
            ValueError: No patch was tried.
        """
        if np.isnan(self.scores).all():
            raise ValueError("no patch was tried; let occlude() run longer")
        row, column = np.unravel_index(np.nanargmin(self.scores), self.scores.shape)
        return int(row), int(column)

    def __repr__(self) -> str:
        tried = int(np.isfinite(self.scores).sum())
        least = f", at least {np.nanmin(self.scores):.3f}" if tried else ""
        return f"Occlusion({tried} of {self.scores.size} places: {self.before:.3f} before{least})"


def pixel_gradient(receipt: Receipt, tensor: Tensor) -> PixelGradient:
    """The gradient of a receipt's margin by every pixel: one pass forward, one backward.

    Args:
        receipt: What `receipt` returned.
        tensor: float32 (1, 3, H, W), RGB, [0, 1]: what its run was made of.

    Raises:
        TypeError, ValueError: `tensor` is of another kind, range or size.
    """
    _check(receipt, tensor)
    with torch.enable_grad():
        pixels = tensor.detach().clone().requires_grad_()
        logits = box_logits(receipt, pixels)
        (gradient,) = torch.autograd.grad(logits[receipt.label] - logits[receipt.against], pixels)
    return PixelGradient(receipt, gradient[0].cpu().numpy())


def occlude(
    receipt: Receipt,
    tensor: Tensor,
    *,
    patch: int | None = None,
    stride: int | None = None,
    progress: bool = True,
) -> Occlusion:
    """Lay a grey patch over one place of the image after another, and ask for the box's score each time.

    The network runs once per place. To stop, interrupt the kernel: what was tried so far is returned.

    Args:
        receipt: What `receipt` returned.
        tensor: float32 (1, 3, H, W), RGB, [0, 1]: what its run was made of.
        patch: The patch's side in pixels; None takes an eighth of the longer side.
        stride: From one place to the next, in pixels; None takes the patch's side.
        progress: Show a progress bar.

    Raises:
        TypeError, ValueError: `tensor` is of another kind, range or size; `patch` or `stride` is no whole
            number of at least 1.
    """
    _check(receipt, tensor)
    height, width = tensor.shape[-2:]
    patch = max(1, max(height, width) // PATCHES) if patch is None else patch
    stride = patch if stride is None else stride
    for name, value in (("patch", patch), ("stride", stride)):
        if not is_whole(value) or value < 1:
            raise ValueError(f"{name} must be a whole number of pixels, at least 1, got {quoted(value)}")
    scores = np.full((-(-height // stride), -(-width // stride)), np.nan)
    before = float(receipt.run.box_scores.scores[receipt.proposal, receipt.label])
    places = occlusions(receipt, tensor, patch, stride)
    with (
        tqdm(places, "Occlusion", scores.size, unit="place", disable=not progress) as bar,
        suppress(KeyboardInterrupt),
    ):
        for place, score in bar:
            scores[place] = score
    return Occlusion(receipt, scores, patch, stride, before)


def occlusions(
    receipt: Receipt, tensor: Tensor, patch: int, stride: int
) -> Iterator[tuple[tuple[int, int], float]]:
    """Each place, (row, column), and the score there: one run of the network for each that is asked for.

    Arguments as of `occlude`, which has checked them.
    """
    height, width = tensor.shape[-2:]
    for row, top in enumerate(range(0, height, stride)):
        for column, left in enumerate(range(0, width, stride)):
            covered = tensor.clone()
            covered[..., top : top + patch, left : left + patch] = GREY
            with torch.no_grad():
                score = float(box_logits(receipt, covered).softmax(0)[receipt.label])
            yield (row, column), score


def box_logits(receipt: Receipt, tensor: Tensor) -> Tensor:
    """What the box head says, (C,), of the receipt's box in another image of the same size."""
    run, row = receipt.run, receipt.proposal
    fpn = stages.features(run.model, stages.normalised(run.model, tensor))
    box, level = run.proposals.boxes[row][None], run.box_scores.roi_levels[row][None]
    read = pooled(run.model.roi_heads.box_roi_pool, box, level, fpn.maps, fpn.strides)
    return head_logits(run.model.roi_heads, read)


def _check(receipt: Receipt, tensor: Tensor) -> None:
    check_tensor(tensor)
    size = receipt.run.normalised.image_size
    if tuple(tensor.shape[-2:]) != size:
        raise ValueError(
            f"tensor is of {tuple(tensor.shape[-2:])} and the receipt of an image of {size}; give the tensor "
            "that was traced"
        )
