"""What `follow` finds out about one box, step by step.

Boxes are in pixels of the image that came in; numbers and ranks count from 0, as the rows of the trace's
tensors do.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Rival:
    """The better box that suppressed another.

    Attributes:
        number: Its row among those that were kept; None where the limit dropped it in its turn.
        box: float32 (4,), x1 y1 x2 y2.
        iou: Intersection over union of the two, [0, 1].
    """

    number: int | None
    box: np.ndarray
    iou: float


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a stage that compares many and keeps few did with a box.

    Attributes:
        row: Among those that were kept, in `Proposals` or in `Detections`; None where it was dropped.
        outcome: One of `OUTCOMES`, or "not among its level's best".
        reason: The same with its numbers.
        rival: What suppressed it.
    """

    row: int | None
    outcome: str
    reason: str
    rival: Rival | None = None


@dataclass(frozen=True, eq=False)
class AnchorStep:
    """Where the way begins.

    Attributes:
        row: In `Anchors`.
        level: Of the pyramid, 0 the finest.
        level_name: "P2" to "P6" for a ResNet with FPN.
        cell: (row, column) on the level's map.
        side: Of a square of its area, in pixels of the network's input.
        ratio: Its height by its width.
        box: float32 (4,), x1 y1 x2 y2.
        objectness: [0, 1]: how sure the region proposal network is that something is here.
        rank: How many anchors of the level have a higher one.
    """

    row: int
    level: int
    level_name: str
    cell: tuple[int, int]
    side: float
    ratio: float
    box: np.ndarray
    objectness: float
    rank: int


@dataclass(frozen=True, eq=False)
class ProposalStep:
    """The anchor, moved and stretched.

    Attributes:
        box: float32 (4,), x1 y1 x2 y2, inside the image.
        verdict: Whether it became a row of `Proposals`.
    """

    box: np.ndarray
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class DetectionStep:
    """The proposal, named and refined.

    Attributes:
        label, category: What it is followed as.
        level_name: The map that RoIAlign read it from.
        features: float32 (C, h, w), what RoIAlign read; 7 x 7 for torchvision's heads.
        scores: float32 (C,), [0, 1], background and categories.
        box: float32 (4,), x1 y1 x2 y2, refined for the category.
        verdict: Whether it became a row of `Detections` and `Prediction`.
    """

    label: int
    category: str
    level_name: str
    features: np.ndarray
    scores: np.ndarray
    box: np.ndarray
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class MaskStep:
    """The detection's mask.

    Attributes:
        level_name: The map that RoIAlign read the refined box from.
        probs: float32 (M, M), [0, 1], in the refined box; M is 28 for torchvision's heads.
    """

    level_name: str
    probs: np.ndarray


@dataclass(frozen=True, eq=False)
class Journey:
    """One box's way through a trace, as far as it went.

    Attributes:
        anchor, proposal, detection, mask: The steps; None where it never came so far.
    """

    anchor: AnchorStep
    proposal: ProposalStep
    detection: DetectionStep | None
    mask: MaskStep | None

    @property
    def verdict(self) -> Verdict:
        """The last one: how the way ended."""
        return (self.detection or self.proposal).verdict

    def __str__(self) -> str:
        anchor, found = self.anchor, self.detection
        row, column = anchor.cell
        lines = [
            f"anchor      {anchor.level_name}, row {row}, column {column}: {anchor.side:.0f} px, "
            f"height / width {anchor.ratio:.1f}",
            f"objectness  {anchor.objectness:.3f}, rank {anchor.rank} of {anchor.level_name}",
            f"proposal    {self.proposal.verdict.reason}",
        ]
        if found:
            lines += [
                f"RoIAlign    reads {found.level_name}",
                f"box head    {found.category} {found.scores[found.label]:.3f}, "
                f"background {found.scores[0]:.3f}",
                f"detection   {found.verdict.reason}",
            ]
        if self.mask:
            side = len(self.mask.probs)
            lines.append(f"mask        {side} x {side}, read from {self.mask.level_name}")
        return "\n".join(lines)
