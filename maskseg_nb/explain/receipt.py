"""What a score is made of: an exact sum over the cells and channels that the box head read.

Between two categories the box head decides by the margin of their logits. Its layers (linear, convolution,
batch norm in eval mode, ReLU) are piecewise linear, and so, at the features that it read, the margin *is* a
sum: each feature times the margin's gradient there, plus what the biases add (gradient times input; for ReLU
networks equal to layer-wise relevance propagation, arXiv:1605.01713, section 2.3).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads

from ..errors import ModelError, quoted
from ..mask_rcnn.checks import check_known
from ..mask_rcnn.follow import follow
from ..mask_rcnn.journey import numbered
from ..mask_rcnn.trace import Trace
from ..models.zoo import categories_of

BACKGROUND = "background"
ADDS_UP = 1e-5  # how far a bill may be from its margin, as a share of its items' sizes: float32 rounds


@dataclass(frozen=True, eq=False)
class Receipt:
    """Why the box head preferred one category to another in a box.

    Attributes:
        run: The run that the box is of.
        proposal: The row of `run.proposals` that the box head read.
        box: float32 (4,), that proposal: x1 y1 x2 y2 in pixels of the image. The cells divide it evenly.
        label, against: The two categories' labels; 0 is the background.
        items: float32 (C, h, w): what each channel of each cell adds to the margin; 7 x 7 cells for
            torchvision's heads.
        bias: What the biases of all layers add.
        margin: The category's logit minus the other's: the sum of `items`, plus `bias`.
    """

    run: Trace
    proposal: int
    box: np.ndarray
    label: int
    against: int
    items: np.ndarray
    bias: float
    margin: float

    @property
    def cells(self) -> np.ndarray:
        """float64 (h, w): what each cell adds, all channels together."""
        return self.items.sum(axis=0, dtype=np.float64)

    @property
    def channels(self) -> np.ndarray:
        """float64 (C,): what each channel adds, all cells together."""
        return self.items.sum(axis=(1, 2), dtype=np.float64)

    @property
    def names(self) -> tuple[str, str]:
        """The two categories' names."""
        names = (BACKGROUND, *categories_of(self.run.model)[1:])
        return names[self.label], names[self.against]

    def bill(self, count: int = 4) -> list[tuple[str, float]]:
        """What there is and what it adds, so that all of it adds up to the margin.

        The biases; the `count` cells that add most, and the rest of those in favour; the `count` that take
        most, and the rest of those against. Rows and columns count from 0, from the upper left corner.
        """
        cells, columns = self.cells.ravel(), self.items.shape[2]
        order = cells.argsort(kind="stable")[::-1]
        bill = [("biases", self.bias)]
        for sign, side in ((1, order), (-1, order[::-1])):
            side = side[sign * cells[side] > 0]
            bill += [
                ("cell {}, {}".format(*divmod(cell, columns)), float(cells[cell]))
                for cell in side[:count].tolist()
            ]
            if len(rest := side[count:]):
                towards = "in favour" if sign > 0 else "against"
                bill.append((f"{len(rest)} more {towards}", float(cells[rest].sum())))
        return bill

    def __repr__(self) -> str:
        ours, theirs, proposal = *self.names, numbered(self.proposal)
        return f"Receipt({ours} against {theirs}, proposal {proposal}: margin {self.margin:+.3f})"

    def __str__(self) -> str:
        lines = [f"{name:<20}{amount:>+9.3f}" for name, amount in self.bill()]
        return "\n".join([repr(self), *lines, f"{'margin':<20}{self.margin:>+9.3f}"])


def receipt(
    trace: Trace,
    detection: int | None = None,
    against: str = BACKGROUND,
    *,
    anchor: int | None = None,
    category: str | None = None,
) -> Receipt:
    """Take apart the margin by which the box head preferred one category to another.

    Args:
        trace: A run through the network.
        detection: A row of `trace.prediction`; or
        anchor: a row of `trace.anchors` that became a proposal, whether or not it became a detection.
        against: The category that lost, or "background".
        category: The category that won; None takes the detection's own, of an anchor the most probable.

    Raises:
        ValueError: There is no such detection, anchor or category; the anchor never reached the box head; or
            the two categories are the same.
        TypeError: `detection` or `anchor` is not a whole number.
        ModelError: The model's box head is not piecewise linear in float32, so that nothing adds up.
    """
    journey = follow(trace, detection=detection, anchor=anchor)
    proposal, found = journey.proposal.verdict.row, journey.detection
    if proposal is None or found is None:
        raise ValueError(f"anchor {anchor} never reached the box head: {journey.proposal.verdict.reason}")
    label = found.label if category is None else _label(trace, category)
    other = _label(trace, against)
    if label == other:
        raise ValueError(f"a category has no margin against itself: {quoted(against)}; give another one")
    heads, read = trace.model.roi_heads, torch.from_numpy(found.features)[None].to(trace.proposals.boxes)
    items, bias, margin = _margin_apart(heads, read, label, other)
    sizes = abs(bias) + float(items.abs().sum())
    if not abs(float(items.double().sum()) + bias - margin) <= ADDS_UP * max(1.0, sizes):  # NaN does not
        raise ModelError(
            "the model's box head is not piecewise linear in float32: nothing adds up to its margins; "
            'take a model whose head has linear layers, batch norms and ReLU, in precision="float32"'
        )
    return Receipt(trace, proposal, journey.proposal.box, label, other, items.cpu().numpy(), bias, margin)


def _label(trace: Trace, name: str) -> int:
    """The label of a category; 0 of the background."""
    names = categories_of(trace.model)
    if name in (BACKGROUND, names[0]):
        return 0
    check_known([name], names)
    return names.index(name)


def head_logits(heads: RoIHeads, read: Tensor) -> Tensor:
    """The logits, (C,), of the features (1, C, h, w) that RoIAlign read in one box."""
    logits, _ = heads.box_predictor(heads.box_head(read))
    return logits[0]


def _margin_apart(heads: RoIHeads, read: Tensor, label: int, against: int) -> tuple[Tensor, float, float]:
    """What each feature adds to a margin, (C, h, w), what the biases add, and the margin."""
    with torch.enable_grad(), _watched(heads) as layers:
        inputs = read.detach().requires_grad_()
        logits = head_logits(heads, inputs)
        margin = logits[label] - logits[against]
    outputs = [output for _, _, output in layers]
    gradient, *slopes = torch.autograd.grad(margin, [inputs, *outputs], allow_unused=True)
    bias = 0.0
    with torch.no_grad():
        for (layer, fed, _), slope in zip(layers, slopes, strict=True):
            if slope is not None:  # the layer that refines the box has no part in the margin
                bias += float((layer(torch.zeros_like(fed)) * slope).sum(dtype=torch.float64))
    return (gradient * read)[0].detach(), bias, float(margin.detach())


@contextmanager
def _watched(heads: RoIHeads) -> Iterator[list[tuple[nn.Module, Tensor, Tensor]]]:
    """While the block runs, note of each layer of the box head itself, what it was fed and what it returned.

    What a layer adds whatever it is fed is what it returns for zeros: its bias, or a norm's shift.
    """
    seen: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(layer: nn.Module, fed: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if output.requires_grad:  # another thread may run the same model, without gradients
            seen.append((layer, fed[0].detach(), output))
        return output.clone()  # a ReLU in place may follow

    parts = (heads.box_head, heads.box_predictor)
    hooks = [
        layer.register_forward_hook(note)
        for part in parts
        for layer in part.modules()
        if not list(layer.children())
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
