"""What training makes of a dataset's pictures: crops, mosaics, pasted instances, changed colours.

torchvision.transforms.v2 crops, flips and changes colours. Instances of one picture are pasted into another
as in Simple Copy-Paste (Ghiasi et al., arXiv:2012.07177).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2

from ..data.datasets import Dataset
from ..data.truth import Truth
from .partial_labels import PartialTruth
from .sampling import seeded

LEAST_BOX_SIDE = 3  # pixels, of a box that is worth learning from
LEAST_SEEN = 0.1  # of an instance that something is pasted over; with less visible it is left out
LARGEST_PASTED = 0.35  # of the picture
GREY = 128  # paints over a crowd, which must be learned neither as an object nor as background

Example = tuple[Tensor, dict[str, Tensor]]


class Scene(NamedTuple):
    """A picture in the making, with its instances and its doubts; see `PartialTruth` for the last four.

    uint8 (3, H, W); uint8 (N, H, W), int64 (N,), float32 (N,); float32 (D, 4), bool (D, C), float32 (D,).
    """

    picture: Tensor
    masks: Tensor
    labels: Tensor
    trust: Tensor
    doubts: Tensor
    doubted: Tensor
    limits: Tensor

    def instances(self, rows: Tensor) -> "Scene":
        """Only these of its instances: bool (N,), or their numbers."""
        return self._replace(masks=self.masks[rows], labels=self.labels[rows], trust=self.trust[rows])


@dataclass(frozen=True)
class Augmentation:
    """How strongly pictures are changed. All probabilities are in [0, 1].

    Attributes:
        area: The smallest and the largest share of a picture that a crop keeps, in (0, 1].
        aspect: The smallest and the largest ratio of a crop's width to its height.
        flip: Probability of a mirrored picture.
        mosaic: Probability of four crops in one picture.
        paste: Probability that up to three instances of another picture are pasted in; unless it is 0, it is
            at least 0.9 for a picture without instances.
        color: How far brightness, contrast and saturation may be from 1, [0, 1]; hue changes an eighth of it.
        least_pixels: Smaller instances are left out.
    """

    area: tuple[float, float] = (0.2, 1.0)
    aspect: tuple[float, float] = (0.6, 1.67)
    flip: float = 0.5
    mosaic: float = 0.25
    paste: float = 0.5
    color: float = 0.4
    least_pixels: int = 16

    @classmethod
    def none(cls) -> "Augmentation":
        """Whole pictures, unchanged."""
        return cls((1.0, 1.0), (0.5, 2.0), 0.0, 0.0, 0.0, 0.0)


class TrainingPictures(torch.utils.data.Dataset[Example]):
    """An endless supply of changed pictures; the same seed and index give the same picture.

    Args:
        dataset: Pictures with ground truth.
        sizes: (height, width) in pixels; all pictures of a batch share one of them.
        augmentation: How pictures are changed.
        batch_size: Pictures in a batch: index // batch_size is the batch.
        seed: Of all random numbers.
        weights: float (len(dataset),), how often each picture is drawn, relatively; None: all alike.
    """

    def __init__(
        self,
        dataset: Dataset,
        sizes: tuple[tuple[int, int], ...],
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        weights: np.ndarray | None = None,
    ) -> None:
        self.dataset, self.sizes, self.augmentation = dataset, sizes, augmentation
        self.batch_size, self.seed = batch_size, seed
        self.weights = torch.ones(len(dataset)) if weights is None else torch.as_tensor(weights).double()
        jitter = v2.ColorJitter(*[augmentation.color] * 3, hue=augmentation.color / 8)
        blur = v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], augmentation.color / 4)
        self.light = v2.Compose([jitter, v2.RandomGrayscale(augmentation.color / 8), blur])

    def __getitem__(self, index: int) -> Example:
        """A picture, float32 (3, H, W) in [0, 1], and its target as torchvision's MaskRCNN trains on it.

        The target: boxes float32 (N, 4), labels int64 (N,), masks uint8 (N, H, W); N may be 0. Where the
        picture is not outlined completely, for `partial_losses` also trust float32 (N,), doubts
        float32 (D, 4), doubted bool (D, C) and limits float32 (D,).
        """
        with seeded(self.seed, 0, index // self.batch_size):
            size = self.sizes[int(torch.randint(len(self.sizes), ()))]
        with seeded(self.seed, 1, index):
            scene, paste = self._scene(size), self.augmentation.paste
            if torch.rand(()) < (max(paste, 0.9) if paste and not len(scene.labels) else paste):
                scene = _pasted(scene, self._scene(size))
            picture = self.light(scene.picture)
        boxes = masks_to_boxes(scene.masks)
        boxes[:, 2:] += 1  # the last pixel is inside
        large = ((boxes[:, 2:] - boxes[:, :2]) >= LEAST_BOX_SIDE).all(dim=1)
        large &= _pixels(scene.masks) >= self.augmentation.least_pixels
        scene = scene.instances(large)
        target = {"boxes": boxes[large], "labels": scene.labels, "masks": scene.masks}
        if len(scene.doubts) or (scene.trust != 1).any():
            target |= {name: getattr(scene, name) for name in ("trust", "doubts", "doubted", "limits")}
        return picture.float() / 255, target

    def _scene(self, size: tuple[int, int]) -> Scene:
        """One crop, or a mosaic of four."""
        if torch.rand(()) >= self.augmentation.mosaic:
            return self._crop(size)
        height, width = size[0] // 2, size[1] // 2
        quarters = [self._crop((height, width)) for _ in range(4)]
        rows = [torch.cat([quarters[n].picture, quarters[n + 1].picture], dim=2) for n in (0, 2)]
        for number, quarter in enumerate(quarters):
            top, left = number // 2 * height, number % 2 * width
            quarters[number] = quarter._replace(
                masks=F.pad(quarter.masks, (left, width - left, top, height - top)),
                doubts=quarter.doubts + torch.tensor([left, top, left, top]),
            )
        parts = [torch.cat(of_four) for of_four in list(zip(*quarters, strict=True))[1:]]
        return Scene(torch.cat(rows, dim=1), *parts)

    def _crop(self, size: tuple[int, int]) -> Scene:
        """Part of a picture that is drawn at random, resized, perhaps mirrored."""
        image, drawn = self.dataset[int(torch.multinomial(self.weights, 1))]
        truth, single = PartialTruth.of(drawn), ~drawn.crowd
        picture = tv_tensors.Image(torch.from_numpy(without_crowds(image, truth)).permute(2, 0, 1))
        masks = tv_tensors.Mask(torch.from_numpy(truth.masks[single]).byte())
        doubts = torch.from_numpy(truth.doubts).float()
        corners = tv_tensors.BoundingBoxes(doubts, format="XYXY", canvas_size=truth.image_size)
        area, aspect = self.augmentation.area, self.augmentation.aspect
        cut = v2.Resize(size) if area == (1.0, 1.0) else v2.RandomResizedCrop(size, area, aspect)
        part = cut.make_params([picture])
        height, width = part.get("height", image.shape[0]), part.get("width", image.shape[1])
        picture, masks, corners = v2.RandomHorizontalFlip(self.augmentation.flip)(
            *(cut.transform(value, part) for value in (picture, masks, corners))
        )
        doubts = corners.as_subclass(Tensor)
        left = (doubts[:, 2:] > doubts[:, :2]).all(dim=1)  # the crop has not cut it off
        limits = torch.from_numpy(truth.limits).float() * (size[0] * size[1] / (height * width)) ** 0.5
        scene = Scene(
            picture.as_subclass(Tensor),
            masks.as_subclass(Tensor),
            torch.from_numpy(truth.labels[single]),
            torch.from_numpy(truth.trust[single]).float(),
            doubts[left],
            torch.from_numpy(truth.doubted)[left],
            limits[left],
        )
        return scene.instances(_pixels(scene.masks) > 0)


def _pixels(masks: Tensor) -> Tensor:
    """The pixels of each mask, uint8 (N, H, W): int32 (N,). torch's default, int64, is far slower."""
    return masks.flatten(1).sum(dim=1, dtype=torch.int32)


def without_crowds(image: np.ndarray, truth: Truth) -> np.ndarray:
    """The picture, uint8 (H, W, 3), with its crowds painted grey where no single instance is."""
    if not truth.crowd.any():
        return np.ascontiguousarray(image)
    hidden = truth.masks[truth.crowd].any(axis=0) & ~truth.masks[~truth.crowd].any(axis=0)
    return np.where(hidden[..., None], np.uint8(GREY), image)


def _pasted(scene: Scene, donor: Scene) -> Scene:
    """Up to three of the donor's instances laid over a scene, with soft edges; masks lose what they cover.

    Guesses are not pasted: with a guessed edge goes some of what is around the object.
    """
    chosen = torch.randperm(len(donor.labels))[: int(torch.randint(1, 4, ()))]
    chosen = chosen[donor.trust[chosen] == 1]
    chosen = chosen[donor.masks[chosen].float().mean(dim=(1, 2)) < LARGEST_PASTED]
    if not len(chosen):
        return scene
    pasted = donor.instances(chosen)
    over = pasted.masks.amax(dim=0)
    soft = v2.functional.gaussian_blur(over[None].float(), [5, 5], [0.8, 0.8])
    masks = scene.masks * (1 - over)
    below = scene._replace(masks=masks).instances(_pixels(masks) > LEAST_SEEN * _pixels(scene.masks))
    return scene._replace(
        picture=(scene.picture * (1 - soft) + donor.picture * soft).round().byte(),
        masks=torch.cat([below.masks, pasted.masks]),
        labels=torch.cat([below.labels, pasted.labels]),
        trust=torch.cat([below.trust, pasted.trust]),
    )
