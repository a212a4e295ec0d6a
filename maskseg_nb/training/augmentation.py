"""What training makes of a dataset's pictures: crops, mosaics, pasted instances, changed colours.

torchvision.transforms.v2 crops, flips and changes colours. Instances of one picture are pasted into another
as in Simple Copy-Paste (Ghiasi et al., arXiv:2012.07177).
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2

from ..data.datasets import Dataset
from ..data.truth import Truth
from .sampling import seeded

LEAST_BOX_SIDE = 3  # pixels, of a box that is worth learning from
LEAST_SEEN = 0.1  # of an instance that something is pasted over; with less visible it is left out
LARGEST_PASTED = 0.35  # of the picture
GREY = 128  # paints over a crowd, which must be learned neither as an object nor as background

Example = tuple[Tensor, dict[str, Tensor]]


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

        The target: boxes float32 (N, 4), labels int64 (N,), masks uint8 (N, H, W); N may be 0.
        """
        with seeded(self.seed, 0, index // self.batch_size):
            size = self.sizes[int(torch.randint(len(self.sizes), ()))]
        with seeded(self.seed, 1, index):
            picture, masks, labels = self._scene(size)
            paste = self.augmentation.paste
            if torch.rand(()) < (max(paste, 0.9) if paste and not len(labels) else paste):
                picture, masks, labels = _pasted((picture, masks, labels), self._scene(size))
            picture = self.light(picture)
        boxes = masks_to_boxes(masks)
        boxes[:, 2:] += 1  # the last pixel is inside
        large = ((boxes[:, 2:] - boxes[:, :2]) >= LEAST_BOX_SIDE).all(dim=1)
        large &= _pixels(masks) >= self.augmentation.least_pixels
        return picture.float() / 255, {"boxes": boxes[large], "labels": labels[large], "masks": masks[large]}

    def _scene(self, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """One crop, or a mosaic of four: uint8 (3, H, W), uint8 (N, H, W), int64 (N,)."""
        if torch.rand(()) >= self.augmentation.mosaic:
            return self._crop(size)
        height, width = size[0] // 2, size[1] // 2
        pictures, masks, labels = zip(*(self._crop((height, width)) for _ in range(4)), strict=True)
        rows = [torch.cat(pictures[n : n + 2], dim=2) for n in (0, 2)]
        around = [(0, width, 0, height), (width, 0, 0, height), (0, width, height, 0), (width, 0, height, 0)]
        spread = [F.pad(own, sides) for own, sides in zip(masks, around, strict=True)]
        return torch.cat(rows, dim=1), torch.cat(spread), torch.cat(labels)

    def _crop(self, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Part of a picture that is drawn at random, resized, perhaps mirrored."""
        image, truth = self.dataset[int(torch.multinomial(self.weights, 1))]
        picture = tv_tensors.Image(torch.from_numpy(without_crowds(image, truth)).permute(2, 0, 1))
        masks = tv_tensors.Mask(torch.from_numpy(truth.masks[~truth.crowd]).byte())
        labels = torch.from_numpy(truth.labels[~truth.crowd])
        area, aspect = self.augmentation.area, self.augmentation.aspect
        cut = v2.Resize(size) if area == (1.0, 1.0) else v2.RandomResizedCrop(size, area, aspect)
        picture, masks = v2.RandomHorizontalFlip(self.augmentation.flip)(*cut(picture, masks))
        seen = _pixels(masks) > 0
        return picture.as_subclass(Tensor), masks.as_subclass(Tensor)[seen], labels[seen]


def _pixels(masks: Tensor) -> Tensor:
    """The pixels of each mask, uint8 (N, H, W): int32 (N,). torch's default, int64, is far slower."""
    return masks.flatten(1).sum(dim=1, dtype=torch.int32)


def without_crowds(image: np.ndarray, truth: Truth) -> np.ndarray:
    """The picture, uint8 (H, W, 3), with its crowds painted grey where no single instance is."""
    if not truth.crowd.any():
        return np.ascontiguousarray(image)
    hidden = truth.masks[truth.crowd].any(axis=0) & ~truth.masks[~truth.crowd].any(axis=0)
    return np.where(hidden[..., None], np.uint8(GREY), image)


def _pasted(
    scene: tuple[Tensor, Tensor, Tensor], donor: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Up to three of the donor's instances laid over a scene, with soft edges; masks lose what they cover."""
    (picture, masks, labels), (other, other_masks, other_labels) = scene, donor
    chosen = torch.randperm(len(other_labels))[: int(torch.randint(1, 4, ()))]
    chosen = chosen[other_masks[chosen].float().mean(dim=(1, 2)) < LARGEST_PASTED]
    if not len(chosen):
        return scene
    pasted = other_masks[chosen]
    over = pasted.amax(dim=0)
    soft = v2.functional.gaussian_blur(over[None].float(), [5, 5], [0.8, 0.8])
    picture = (picture * (1 - soft) + other * soft).round().byte()
    before = _pixels(masks)
    masks = masks * (1 - over)
    seen = _pixels(masks) > LEAST_SEEN * before
    return picture, torch.cat([masks[seen], pasted]), torch.cat([labels[seen], other_labels[chosen]])
