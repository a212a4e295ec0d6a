"""A network that reports fewer categories than it has learned, with scores that can be believed.

Learned beside the wanted categories, others give every object something to be: a table that is a table is no
car. If their rows were cut from the classifier, their probability would go to the rows that remain; it should
go to the background, as p(background) + the p of all others. The logit of that sum, the logsumexp of theirs,
is not linear in the features. So the remaining rows are fitted to it as closely as a linear classifier can
be, and the result is a Mask R-CNN like any other, for torchvision too.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from ..data.images import preprocess
from ..errors import quoted
from ..models.zoo import categories_of
from .fine_tuning import with_categories

FIT_STEPS = 200  # of L-BFGS, at most


def fold(model: MaskRCNN, categories: tuple[str, ...], images: Iterable[np.ndarray]) -> MaskRCNN:
    """A copy of a model that reports only some of its categories; the others are background to it.

    Box regression and mask head keep these categories' rows as they are. The classifier's are fitted to the
    whole classifier's probabilities of every proposal in the images: softmax regression, which is convex.

    Args:
        model: A torchvision MaskRCNN in eval mode.
        categories: Some of the model's, indexed by label, [0] the background.
        images: uint8 (H, W, 3), RGB, a few hundred of all kinds; they need no labels.

    Raises:
        ValueError: The model does not know a category, or there is no image.
    """
    known = categories_of(model)
    if unknown := [name for name in categories if name not in known]:
        raise ValueError(f"categories must be the model's, got {quoted(unknown[0])}")
    features = [_features(model, image) for image in images]
    if not features:
        raise ValueError("images must be one or more, got none")
    read, kept = torch.cat(features), [known.index(name) for name in categories[1:]]
    with torch.no_grad():
        wanted = F.softmax(model.roi_heads.box_predictor.cls_score(read), dim=1)[:, kept]
    target = torch.cat([1 - wanted.sum(dim=1, keepdim=True), wanted], dim=1).clamp(min=0)
    folded = with_categories(model, categories)
    layer = folded.roi_heads.box_predictor.cls_score.requires_grad_(True)
    _minimise([*layer.parameters()], lambda: F.cross_entropy(layer(read), target))
    return folded


@torch.no_grad()
def _features(model: MaskRCNN, image: np.ndarray) -> Tensor:
    """What the classifier reads of each proposal in an image: float32 (P, features)."""
    heads, device = model.roi_heads, next(model.parameters()).device
    tensor, _ = preprocess(image, size=image.shape[:2])
    inputs, _ = model.transform([tensor[0].to(device)])
    maps = model.backbone(inputs.tensors)
    proposals, _ = model.rpn(inputs, maps)
    read: Tensor = heads.box_head(heads.box_roi_pool(maps, proposals, inputs.image_sizes))
    return read


def calibration(scores: np.ndarray, right: np.ndarray, least: float = 0.75) -> tuple[float, float]:
    """The temperature and the background's bias that make a score the probability of being right.

    Platt scaling: logistic regression of right and wrong on the logit of the score, drawn a little towards
    scores as they are. If too few of the instances with 0.5 or more are right then, the bias is raised until
    enough are.

    Args:
        scores: float (K,), (0, 1), of the instances found in the validation set.
        right: bool (K,), the true positives among them.
        least: The share of the instances with a calibrated score of 0.5 or more that must be right, [0, 1].

    Returns:
        T above 0 and b, as `calibrate` takes them.

    Raises:
        ValueError: There are none, or higher scores are not more often right.
    """
    if not len(scores):
        raise ValueError("scores must be one or more, got none: there is nothing to calibrate")
    falling = torch.from_numpy(np.argsort(-scores, kind="stable"))
    logits = torch.from_numpy(scores)[falling].double().logit(eps=1e-6)
    true = torch.from_numpy(right)[falling].double()
    as_it_is = torch.tensor([1.0, 0.0], dtype=torch.float64)  # slope and offset
    line = as_it_is.clone().requires_grad_(True)

    def error() -> Tensor:
        wrong = F.binary_cross_entropy_with_logits(line[0] * logits + line[1], true, reduction="sum")
        return wrong + (line - as_it_is).square().sum()

    _minimise([line], error)
    slope, offset = line.tolist()
    if slope <= 0:
        raise ValueError("higher scores must be right more often: these cannot be calibrated")
    enough = torch.where(true.cumsum(0) / torch.arange(1, len(true) + 1) >= least)[0]
    lowest = float(logits[enough[-1]] if len(enough) else logits[0])  # down to there enough are right
    return 1 / slope, max(-offset / slope, lowest)


def calibrate(model: MaskRCNN, temperature: float, bias: float) -> None:
    """Add a bias to the background's logit, then divide all logits by a temperature, in place."""
    layer = model.roi_heads.box_predictor.cls_score
    with torch.no_grad():
        layer.bias[0] += bias
        layer.weight /= temperature
        layer.bias /= temperature


def _minimise(parameters: list[Tensor], loss: Callable[[], Tensor]) -> None:
    """Minimise a convex function of its parameters, in place, by L-BFGS."""
    optimizer = torch.optim.LBFGS(parameters, max_iter=FIT_STEPS, line_search_fn="strong_wolfe")

    def measured() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(measured)
