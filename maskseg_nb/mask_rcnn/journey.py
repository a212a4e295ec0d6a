"""What `follow` finds out about one box, step by step.

Boxes are float32 (4,), x1 y1 x2 y2 in pixels of the image that came in; numbers and ranks count from 0, as
the rows of the trace's tensors do.
"""

from dataclasses import dataclass

import numpy as np


def numbered(row: int) -> str:
    """A row's name in pictures, tables and sentences, which count from 1 on: "#1" is row 0."""
    return f"#{row + 1}"


@dataclass(frozen=True, eq=False)
class Rival:
    """The better box that suppressed another."""

    row: int | None  # among those that were kept; None where the limit dropped it in its turn
    box: np.ndarray  # float32 (4,)
    iou: float  # intersection over union of the two, [0, 1]


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a stage that compares many and keeps few did with a box."""

    row: int | None  # of `Proposals` or `Detections`; None where it was dropped
    outcome: str  # one of `OUTCOMES`, or "not among its level's best"
    reason: str  # the same with its numbers
    rival: Rival | None = None  # what suppressed it


@dataclass(frozen=True, eq=False)
class AnchorStep:
    """Where the way begins."""

    row: int  # in `Anchors`
    level: int  # of the pyramid, 0 the finest
    level_name: str  # "P2" to "P6" for a ResNet with FPN
    cell: tuple[int, int]  # (row, column) on the level's map
    side: float  # of a square of its area, in pixels of the network's input
    ratio: float  # its height by its width
    box: np.ndarray  # float32 (4,)
    objectness: float  # [0, 1]: how sure the region proposal network is that something is here
    rank: int  # how many anchors of the level have a higher objectness


@dataclass(frozen=True, eq=False)
class ProposalStep:
    """The anchor, moved and stretched."""

    box: np.ndarray  # float32 (4,), inside the image
    verdict: Verdict  # whether it became a row of `Proposals`


@dataclass(frozen=True, eq=False)
class DetectionStep:
    """The proposal, named and refined."""

    label: int  # what it is followed as
    category: str  # the label's name
    level_name: str  # of the map that RoIAlign read it from
    features: np.ndarray  # float32 (C, h, w), what RoIAlign read; 7 x 7 for torchvision's heads
    scores: np.ndarray  # float32 (C,), [0, 1], background and categories
    box: np.ndarray  # float32 (4,), refined for the category
    verdict: Verdict  # whether it became a row of `Detections` and `Prediction`


@dataclass(frozen=True, eq=False)
class MaskStep:
    """The detection's mask."""

    level_name: str  # of the map that RoIAlign read the refined box from
    probs: np.ndarray  # float32 (M, M), [0, 1], in the refined box; M is 28 for torchvision's heads


@dataclass(frozen=True, eq=False)
class Journey:
    """One box's way through a trace; steps that it never reached are None."""

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
