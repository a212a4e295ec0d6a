"""The state of a training between two steps, and the step itself."""

from dataclasses import asdict
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torchvision.models.detection import MaskRCNN

from ..errors import TrainingError
from ..models.bfloat16 import has_native_bfloat16, outputs_to_float32
from ..models.zoo import prime_roi_pools
from .augmentation import Example
from .fine_tuning import learning_parts
from .partial_losses import respect_doubts
from .sampling import seeded
from .settings import TrainingSettings

# torchvision's five, in the order in which a picture meets them; what is minimised is their sum.
LOSSES = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask")


class TrainingState:
    """The weights, their average and the optimiser's memory, between two steps.

    Args:
        learner: In training mode, its frozen parts chosen; it is changed in place.
        settings: How to train.
        pictures: How many there are to learn from.

    Attributes:
        losses: float32 (5,) per step, the columns `LOSSES`.
        identity: What must stay the same for a training to resume.
    """

    def __init__(self, learner: MaskRCNN, settings: TrainingSettings, pictures: int) -> None:
        self.learner, self.settings = learner, settings
        for module in learner.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()  # a few pictures are too few for statistics
        respect_doubts(learner, settings.mask_rois)
        prime_roi_pools(learner)
        for part in (learner.backbone, learner.rpn.head):
            # Anchors, proposals and targets take these dtypes: in bfloat16 a box would be pixels off.
            part.register_forward_hook(outputs_to_float32)
        learner.roi_heads.fg_bg_sampler.batch_size_per_image = settings.rois
        learner.to(memory_format=torch.channels_last)
        peak = settings.learning_rate
        parts = zip(learning_parts(learner), (peak * settings.body_share, peak), strict=True)
        groups = [{"params": part, "peak": rate} for part, rate in parts if part]
        self.optimizer = torch.optim.AdamW(groups, lr=peak, weight_decay=settings.weight_decay)
        self.averaged = AveragedModel(learner, avg_fn=self._average)
        self.averaged.eval()
        self.losses: list[np.ndarray] = []
        # Settings that earlier versions did not have are named where they are used: old checkpoints resume.
        said = {
            name: value for name, value in asdict(settings).items() if (name, value) != ("mask_rois", None)
        }
        self.identity = {"settings": said, "pictures": pictures, "categories": learner.categories}

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.losses)

    @property
    def model(self) -> MaskRCNN:
        """The averaged weights in eval mode: the result, so far."""
        return cast(MaskRCNN, self.averaged.module)

    def _average(self, average: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        """A young average forgets faster, so that it does not remember the first weights for long."""
        kept = min(self.settings.ema, (1 + int(count)) / (10 + int(count)))
        return torch.lerp(new, average, kept)

    def learn_from(self, batch: list[Example]) -> None:
        """One step: losses, gradients, weights, average.

        Raises:
            TrainingError: A loss or the gradient is not finite; the weights are those before the step.
        """
        device = next(self.learner.parameters()).device
        images = [image.to(device) for image, _ in batch]
        targets = [{name: part.to(device) for name, part in target.items()} for _, target in batch]
        height, width = images[0].shape[1:]
        # Pictures come in the size to learn at: nothing is left for torchvision to resize.
        self.learner.transform.min_size = (min(height, width),)
        self.learner.transform.max_size = max(height, width)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self.settings.rate(self.step)
        with seeded(self.settings.seed, 3, self.step):
            with torch.autocast(device.type, torch.bfloat16, enabled=has_native_bfloat16(device)):
                losses = self.learner(images, targets)
        total = torch.stack([losses[name] for name in LOSSES]).sum()
        self.optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.learner.parameters(), self.settings.clip)
        if not torch.isfinite(total) or not torch.isfinite(norm):
            wrong = [name for name in LOSSES if not torch.isfinite(losses[name])] or ["the gradient"]
            raise TrainingError(
                f"{', '.join(wrong)} is not finite in step {self.step + 1}: the training diverged. The last "
                "checkpoint in the folder is from before that; start from scratch with a lower learning_rate"
            )
        self.optimizer.step()
        self.averaged.update_parameters(self.learner)
        self.losses.append(np.array([float(losses[name].detach()) for name in LOSSES], np.float32))
