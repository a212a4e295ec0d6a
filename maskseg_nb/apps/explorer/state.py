"""What the explorer shows, without a widget: validated settings and the chain that follows from them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from traitlets import Bool, Enum, Tuple, Unicode, validate

from ...drawing.colors import Color, instance_colors
from ...drawing.overlay import draw_instances, draw_semantic_map, overlay_segmentation_mask
from ...errors import shortened
from ...mask_rcnn.instances import Instances
from ...mask_rcnn.predict import predict
from ...mask_rcnn.prediction import Prediction
from ...models.zoo import MODELS
from ...results.label_maps import instance_map, semantic_map
from ..link import Link
from ..picture_sources import PictureSources
from ..runner import AUTOMATIC, CHOICES, INPUT_SIZES, Runner
from ..settings import Fraction, Settings

# Style -> (function of the public API, what it draws, options).
STYLES: dict[str, tuple[Callable[..., np.ndarray], str, dict[str, Any]]] = {
    "white, as documented": (overlay_segmentation_mask, "instances.masks", {}),
    "colour per instance": (draw_instances, "instances", {}),
    "colour per category": (draw_instances, "instances", {"color_by": "category"}),
    "colour and outline": (draw_instances, "instances", {"outline": True}),
    "semantic map": (draw_semantic_map, "semantic_map(instances)", {}),
}
_DRAWABLE: dict[str, Callable[[Instances], Any]] = {
    "instances": lambda instances: instances,
    # All in one: for the overlay it is the same, and a large photograph's masks would not fit into memory.
    "instances.masks": lambda instances: instance_map(instances)[None] > 0,
    "semantic_map(instances)": semantic_map,
}


class ExplorerState(Settings):
    """The explorer's settings, and what they give.

    Args:
        pictures: What can be chosen.
        model: A loaded model to begin with.

    Attributes:
        runner: Runs the network.
        prediction: All that it said about the picture.
        kept: What the thresholds keep.
        instances: These, without the hidden ones.
        drawn: uint8 (H, W, 3), RGB: these, drawn on the image without their labels.
    """

    picture = Unicode()
    model_name = Unicode()
    input_size = Enum([AUTOMATIC, *INPUT_SIZES], AUTOMATIC)
    score_threshold = Fraction(0.5)
    mask_threshold = Fraction(0.5)
    alpha = Fraction(0.5)
    style = Enum(list(STYLES), "colour per instance")
    labels = Bool(True)
    hidden_categories = Tuple()  # of names
    hidden_instances = Tuple()  # of numbers; of this picture alone

    KNOBS = (
        *("score_threshold", "mask_threshold", "alpha", "style", "labels"),
        *("hidden_categories", "hidden_instances"),
    )
    SETTINGS = CHOICES + KNOBS

    runner: Runner
    prediction: Prediction
    kept: Instances
    instances: Instances
    drawn: np.ndarray

    def __init__(self, pictures: PictureSources, model: MaskRCNN) -> None:
        super().__init__()
        self.runner = Runner(self, pictures, model, self._predict)
        self.run, self.select, self.draw = self.runner.run, Link(self._select), Link(self._draw)
        self.hide, self.start, self.draw_labelled = Link(_without), Link(self._start), Link(self._draw)

    def update(self) -> None:
        """Bring the whole chain up to date, from the first link that a changed setting touches.

        Two threads may call it at once: each waits for the other and then finds little or nothing to do.

        Raises:
            MasksegError: The picture or the model cannot be had; both are then as before, and so is all else.
        """
        with self.lock:  # only the first link is slow
            self.model, self.image, self.prediction = self.run(self.picture, self.model_name, self.input_size)
            self.start(self.prediction)
            self.kept = self.select(
                self.prediction, self.score_threshold, self.mask_threshold, self.shown_categories
            )
            self.instances = self.hide(self.kept, self.hidden_instances)
            self.drawn = self.draw(self.image, self.instances, self.style, self.alpha, False)

    @property
    def blended(self) -> np.ndarray:
        """uint8 (H, W, 3), RGB: `drawn` with its labels, where wanted; on screen the view has them."""
        return self.draw_labelled(self.image, self.instances, self.style, self.alpha, self.labels)

    def _predict(self, model: MaskRCNN, tensor: Tensor) -> Prediction:
        return predict(model, tensor)

    def _select(
        self, prediction: Prediction, score: float, mask: float, categories: tuple[str, ...] | None
    ) -> Instances:
        return prediction.select(score_threshold=score, mask_threshold=mask, categories=categories)

    def _draw(
        self, image: np.ndarray, instances: Instances, style: str, alpha: float, labels: bool
    ) -> np.ndarray:
        function, drawn, options = self._drawing(style, labels)
        return function(image, _DRAWABLE[drawn](instances), alpha, **options)

    def on_photo(self) -> tuple[np.ndarray, Instances]:
        """The photograph, uint8 (H, W, 3) RGB, and `instances` in its own pixels: the same rows."""
        photo = self.runner.photo
        thresholds = self.score_threshold, self.mask_threshold
        kept = self._select(self.prediction.to_size(photo.shape[:2]), *thresholds, self.shown_categories)
        return photo, kept.without(self.hidden_instances)

    def blended_photo(self, photo: np.ndarray, instances: Instances) -> np.ndarray:
        """`blended` of what `on_photo` gives."""
        return self._draw(photo, instances, self.style, self.alpha, self.labels)

    def _start(self, prediction: Prediction) -> None:
        if self.start.arguments:  # the settings that the app began with are of its first picture
            self.hidden_instances = ()

    @validate("hidden_instances")
    def _check_hidden_instances(self, proposal: dict[str, Any]) -> tuple[int, ...]:
        for number in proposal["value"]:
            if not isinstance(number, int) or isinstance(number, bool):
                raise TypeError(f"hidden_instances must be numbers, got {shortened(ascii(number), 80)}")
        return proposal["value"]

    @validate("hidden_categories")
    def _check_hidden_categories(self, proposal: dict[str, Any]) -> tuple[str, ...]:
        for name in proposal["value"]:
            if not isinstance(name, str):
                raise TypeError(f"hidden_categories must be names, got {shortened(ascii(name), 80)}")
        return proposal["value"]

    @staticmethod
    def _drawing(style: str, labels: bool) -> tuple[Callable[..., np.ndarray], str, dict[str, Any]]:
        function, drawn, options = STYLES[style]
        return function, drawn, {**options, "labels": labels} if function is draw_instances else options

    @property
    def found_categories(self) -> tuple[str, ...]:
        """The categories of the prediction, the most confident first."""
        return tuple(dict.fromkeys(self.prediction.categories[label] for label in self.prediction.labels))

    @property
    def shown_categories(self) -> tuple[str, ...] | None:
        """The found categories without the hidden ones; None where none of them is hidden."""
        shown = tuple(name for name in self.found_categories if name not in self.hidden_categories)
        return None if shown == self.found_categories else shown

    def category_counts(self) -> dict[str, tuple[int, int]]:
        """Found category -> (how many reach the score threshold, how many there are)."""
        labels, scores = self.prediction.labels, self.prediction.scores
        counts = {}
        for name in self.found_categories:
            same = labels == self.prediction.categories.index(name)
            counts[name] = (int((same & (scores >= self.score_threshold)).sum()), int(same.sum()))
        return counts

    def note(self) -> str:
        """What to say on the picture where nothing is shown; empty where something is."""
        if len(self.instances):
            return ""
        if len(self.kept):
            return "Every instance is hidden."
        if not len(self.prediction):
            return f"The model found nothing of its {len(self.prediction.categories) - 1} categories here."
        best = self.prediction.scores[0]
        name = self.prediction.categories[self.prediction.labels[0]]
        if best >= self.score_threshold:
            return f"Every category found is hidden. The best score is {name} {best:.2f}."
        return f"Nothing scores {self.score_threshold:.2f} or more. The best rejected is {name} {best:.2f}."

    @property
    def has_labels(self) -> bool:
        """Whether the style can write labels."""
        return STYLES[self.style][0] is draw_instances

    def caption(self) -> str:
        """The thresholds and the weight in short."""
        return f"score {self.score_threshold:.2f}, mask {self.mask_threshold:.2f}, alpha {self.alpha:.2f}"

    def description(self) -> str:
        """What is on screen, in a sentence."""
        counts: dict[str, int] = {}
        for name in self.instances.names:
            counts[name] = counts.get(name, 0) + 1
        found = ", ".join(f"{count} x {name}" for name, count in counts.items()) or "nothing"
        return f"The photograph {self.runner.ran[0]}, and beside it what is found in it: {found}."

    def colors(self, instances: Instances) -> list[Color]:
        """The RGB colour in which the style draws each instance."""
        if self.style == "white, as documented":
            return [(255, 255, 255)] * len(instances)
        by_category = self.style in ("colour per category", "semantic map")
        return list(
            map(tuple, instance_colors(instances, "category" if by_category else "instance").tolist())
        )

    def code(self) -> str:
        """The lines of the public API that give exactly `blended`.

        For an upload, or a model that no name loads, they begin from `explorer`, the app's own variable.
        """
        picture, model_name, input_size = self.runner.ran
        function, drawn, options = self._drawing(self.style, self.labels)
        options_code = "".join(f", {name}={value!r}" for name, value in options.items())
        source = self.runner.pictures.code(picture)
        by_name = model_name in MODELS
        names = {"predict", "preprocess", "show_side_by_side", function.__name__}
        names |= {"load_model"} if by_name else set()
        names |= {"sample_photo"} if source and source.startswith("sample_photo") else set()
        names |= {"semantic_map"} if drawn.startswith("semantic_map") else set()
        size = INPUT_SIZES[self.runner.size_name(picture, input_size)]
        categories = f", categories={self.shown_categories}" if self.shown_categories is not None else ""
        without = f".without({self.hidden_instances})" if self.hidden_instances else ""
        return "\n".join(
            [
                f"from maskseg_nb import {', '.join(sorted(names))}",
                "",
                f'model = load_model("{model_name}")' if by_name else "model = explorer.model",
                f"tensor, image = preprocess({source or 'explorer.image'}, size={size})",
                f"instances = predict(model, tensor).select(score_threshold={self.score_threshold}, "
                f"mask_threshold={self.mask_threshold}{categories}){without}",
                f"blended = {function.__name__}(image, {drawn}, {self.alpha}{options_code})",
                "show_side_by_side(image, blended)",
            ]
        )


def _without(instances: Instances, hidden: tuple[int, ...]) -> Instances:
    return instances.without(hidden) if hidden else instances
