"""What the stage explorer shows, without a widget: a trace, the box that is followed, the stage on screen."""

from dataclasses import asdict
from typing import Any

from torch import Tensor
from torchvision.models.detection import MaskRCNN
from traitlets import Dict, Enum, Instance, Int, Tuple, Unicode, validate

from ...drawing.film_strip import Frame, film
from ...drawing.panels import StagePicture, View
from ...drawing.stage_pictures import stage_picture
from ...errors import MAX_MESSAGE, quoted, shortened
from ...mask_rcnn.contests import CONTESTS, Ending, endings
from ...mask_rcnn.follow import anchor_at, follow, lost
from ...mask_rcnn.journey import Journey, numbered
from ...mask_rcnn.knobs import Knobs
from ...mask_rcnn.trace import STAGES, Trace, trace
from ..link import Link
from ..picture_sources import PictureSources
from ..runner import AUTOMATIC, CHOICES, INPUT_SIZES, Runner
from ..settings import Fraction, Settings
from .why import Answer, Question, answered, members

ANCHOR_STAGES = ("normalised", "features", "anchors")  # before there are boxes to choose from
Followed = tuple[int, int]  # a row of Anchors, and a category: 0 is the most probable one


class InsideState(Settings):
    """The stage explorer's settings, and what they give.

    Attributes:
        stage: The stage on screen, a name of `STAGES`.
        followed: (anchor, label) of the box that is followed, as `follow` takes them; label 0 is the most
            probable category. Empty for the best detection.
        knobs: Name -> value, for those fields of `Knobs` that are not the model's own.
        level, channel: Which feature map; channel -1 is the strongest ones.
        shown: How many boxes are drawn.
        asked: What is asked about a box of a run; no setting, since it changes nothing.
        trace, journey, pair, frames: What the settings give.
        answer: To what is asked; None while the run or the followed box is another one.
    """

    picture = Unicode()
    model_name = Unicode()
    input_size = Enum([AUTOMATIC, *INPUT_SIZES], AUTOMATIC)
    stage = Enum(list(STAGES), "detections")
    followed = Tuple()
    knobs = Dict()
    level = Int(2)
    channel = Int(-1)
    shown = Int(15)
    score_threshold = Fraction(0.5)
    mask_threshold = Fraction(0.5)

    asked = Instance(Question, allow_none=True)

    KNOBS = ("knobs", "level", "channel", "shown", "score_threshold", "mask_threshold")
    SETTINGS = (*CHOICES, "stage", "followed", *KNOBS)

    runner: Runner
    trace: Trace
    journey: Journey
    pair: StagePicture
    frames: tuple[Frame, ...]
    answer: Answer | None

    def __init__(self, pictures: PictureSources, model: MaskRCNN) -> None:
        super().__init__()
        self.runner = Runner(self, pictures, model, self._trace)
        self.run, self.start, self.follow = self.runner.run, Link(self._start), Link(self._follow)
        self.draw, self.film, self.end = Link(stage_picture), Link(film), Link(endings)
        self.explain = Link(self._explain, lambda run, question: (run.normalised, question))

    def update(self) -> None:
        """Bring trace, journey and pictures up to date; only the stages behind a changed knob run again.

        Raises:
            MasksegError: The picture or the model cannot be had; both are then as before, and so is all else.
        """
        with self.lock:  # the first link is slow, and so are the network's stages behind a moved knob
            self.model, self.image, run = self.run(self.picture, self.model_name, self.input_size)
            self.start(run)
            self.trace = self._rerun(self.trace, self.knobs)
            self.journey = self.follow(self.trace, self.followed)
            self.pair = self.draw(self.trace, self.image, self.stage, self.journey, self.view)
            self.frames = self.film(self.image, self.journey, self.mask_threshold)
            self.answer = self._answer()

    def _trace(self, model: MaskRCNN, tensor: Tensor) -> Trace:
        return trace(model, tensor, **self.knobs)

    def _start(self, run: Trace) -> None:
        self.trace, self.followed, self.asked = (
            run,
            (),
            None,
        )  # another picture, model or size has other anchors

    def _rerun(self, run: Trace, knobs: dict[str, Any]) -> Trace:
        """Run what lies behind the knobs that have changed; where that fails, they are as before."""
        own, ran = self.own_knobs, asdict(run.knobs)
        if ran == {**own, **knobs}:
            return run
        try:
            return run.rerun(**{**own, **knobs})
        except BaseException:
            if knobs == self.knobs:
                self.knobs = {name: value for name, value in ran.items() if value != own[name]}
            raise

    def _follow(self, run: Trace, followed: tuple[int, ...]) -> Journey:
        anchor, label = followed or _best(run)
        return follow(run, anchor=anchor, label=label or None)

    def _answer(self) -> Answer | None:
        """The answer, as long as it is about what is on screen."""
        question = self.asked
        if question is None or question.knobs != self.trace.knobs:
            return None
        try:
            answer = self.explain(self.trace, question)
        except BaseException:
            if self.asked == question:
                self.asked = None
            raise
        return answer if self.following in [question[1:3], *members(answer)] else None

    def _explain(self, run: Trace, question: Question) -> Answer:
        def is_wanted() -> bool:
            return self.asked == question and not self.runner.is_needed

        return self.runner.watched(is_wanted, run.model, answered, run, question)

    @property
    def needs_network(self) -> bool:
        asks = self.asked is not None and self.asked.knobs == self.trace.knobs
        return super().needs_network or (asks and not self.explain.remembers(self.trace, self.asked))

    @property
    def own_knobs(self) -> dict[str, Any]:
        """The model's own numbers: torchvision's defaults, where it was built with them."""
        return asdict(Knobs.of(self.model))

    @property
    def knob_values(self) -> dict[str, Any]:
        """The numbers in force."""
        return {**self.own_knobs, **self.knobs}

    def with_knob(self, name: str, value: float) -> dict[str, Any]:
        """What `knobs` has to be for one knob to have a value, and all others what they have."""
        others = {other: kept for other, kept in self.knobs.items() if other != name}
        return others if value == self.own_knobs.get(name) else {**others, name: value}

    @validate("knobs")
    def _check_knobs(self, proposal: dict[str, Any]) -> dict[str, Any]:
        Knobs.of(self.model).changed(proposal["value"])  # raises
        return proposal["value"]

    @validate("shown")
    def _check_shown(self, proposal: dict[str, Any]) -> int:
        if not 1 <= proposal["value"] <= 1000:
            raise ValueError(f"shown must be 1 to 1000, got {quoted(proposal['value'])[1:-1]}")
        return proposal["value"]

    @validate("level")
    def _check_level(self, proposal: dict[str, Any]) -> int:
        if self._has_run and not 0 <= proposal["value"] < len(self.trace.features.names):
            raise ValueError(f"level must be 0 to {len(self.trace.features.names) - 1}")
        return proposal["value"]

    @validate("channel")
    def _check_channel(self, proposal: dict[str, Any]) -> int:
        if self._has_run and not -1 <= proposal["value"] < self.channels:
            raise ValueError(f"channel must be 0 to {self.channels - 1}, or -1 for the strongest")
        return proposal["value"]

    @validate("followed")
    def _check_followed(self, proposal: dict[str, Any]) -> tuple[int, ...]:
        if proposal["value"] and self._has_run:  # before, `_start` forgets it
            if len(proposal["value"]) != 2:
                got = shortened(ascii(proposal["value"]), 80)
                raise ValueError(f"followed must be (anchor, label) or (), got {got}")
            anchor, label = proposal["value"]
            try:
                follow(self.trace, anchor=anchor, label=label or None)  # raises
            except ValueError as error:
                raise ValueError(shortened(str(error), MAX_MESSAGE)) from None
        return proposal["value"]

    @property
    def _has_run(self) -> bool:
        return hasattr(self, "trace")

    @property
    def channels(self) -> int:
        """How many channels each feature map has."""
        return next(iter(self.trace.features.maps.values())).shape[1]

    @property
    def view(self) -> View:
        """What of the stage is on screen; a model with fewer maps than the last one has a nearest level."""
        return View(
            level=min(self.level, len(self.trace.features.names) - 1),
            channel=self.channel if 0 <= self.channel < self.channels else None,
            shown=self.shown,
            score_threshold=self.score_threshold,
            mask_threshold=self.mask_threshold,
        )

    @property
    def following(self) -> Followed:
        """The anchor of the box that is followed and its category, 0 where it never had one."""
        found = self.journey.detection
        return self.journey.anchor.row, found.label if found else (self.followed or (0, 0))[1]

    def counts(self) -> dict[str, str]:
        """Stage -> what comes out of it, or goes in and comes out."""
        run = self.trace
        (height, width), names = run.normalised.size, run.features.names
        proposals, classes = run.box_scores.scores.shape
        side = run.masks.probs.shape[-1]
        found = len(run.detections.scores)
        return {
            "normalised": f"{height} x {width}",
            "features": f"{names[0]} to {names[-1]}",
            "anchors": f"{len(run.anchors.boxes):,} anchors",
            "proposals": f"{len(run.proposals.candidates):,} to {proposals:,}",
            "box_scores": f"{proposals:,} x {classes}",
            "detections": f"{proposals * (classes - 1):,} to {found}",
            "masks": f"{found} of {side} x {side}",
        }

    def offered(self, count: int = 20) -> dict[str, Followed]:
        """What can be followed, by name: all detections, then the best of those that were lost."""
        prediction, found = self.trace.prediction, self.trace.detections
        offers = {}
        for row, (label, score) in enumerate(zip(prediction.labels, prediction.scores, strict=True)):
            anchor = int(self.trace.proposals.anchors[found.proposals[row]])
            offers[f"{numbered(row)} {prediction.categories[label]} {score:.2f}"] = anchor, int(label)
        scores = self.trace.box_scores.scores[:, 1:].amax(dim=1)
        rows = {int(anchor): row for row, anchor in enumerate(self.trace.proposals.anchors)}
        for anchor, label in lost(self.trace, count):
            row = rows[anchor]
            name = f"lost: {prediction.categories[label]} {scores[row]:.2f} (proposal {numbered(row)})"
            offers[name] = anchor, label
        return offers

    def name_of_followed(self) -> str:
        """The followed box's name where it is not among those offered: a lost one keeps its category."""
        anchor, found, label = self.journey.anchor, self.journey.detection, self.following[1]
        name = f"anchor {anchor.row} on {anchor.level_name}"
        if not label:
            return name
        score = f" {found.scores[label]:.2f}" if found else ""
        return f"lost: {self.trace.prediction.categories[label]}{score} ({name})"

    @property
    def endings(self) -> list[Ending]:
        """How every box ended in the stage on screen; empty where it does not compare boxes."""
        return self.end(self.trace, self.stage) if self.stage in CONTESTS else []

    def follow_at(self, x: float, y: float) -> None:
        """Follow the most promising anchor of the level on screen at a place of the picture.

        Args:
            x, y: In pixels of the picture.

        Raises:
            ValueError: The stage on screen shows boxes: one of those can be followed.
        """
        if self.stage not in ANCHOR_STAGES:
            raise ValueError("no box is drawn there; click inside one")
        self.followed = self._anchor_at(x, y)

    def _anchor_at(self, x: float, y: float) -> Followed:
        """The most promising anchor of those of the level that stand nearest."""
        level = self.view.level
        (height, width), (down, across) = self.trace.normalised.size, self.trace.features.strides[level]
        rows, columns = self.image.shape[:2]
        row, column = round(y * height / rows / down), round(x * width / columns / across)
        first = anchor_at(self.trace, level, row, column)
        cell = self.trace.anchors.objectness[first : first + self.trace.anchors.grids[level][2]]
        return first + int(cell.argmax()), 0


def _best(run: Trace) -> Followed:
    """The best detection; else the best proposal; else the anchor of the highest objectness."""
    found = run.detections
    if len(found.scores):
        return int(run.proposals.anchors[found.proposals[0]]), int(found.labels[0])
    if len(run.proposals.anchors):
        return int(run.proposals.anchors[0]), 0
    return int(run.anchors.objectness.argmax()), 0
