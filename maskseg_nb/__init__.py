"""See, step by step, how Mask R-CNN turns a photograph into instance masks."""

from .errors import ImageError, MasksegError, ModelError, require_opencv

require_opencv()

from .doctor import doctor  # noqa: E402
from .explorer import Explorer  # noqa: E402
from .figures import (  # noqa: E402
    figure_png,
    show_journey,
    show_pictures,
    show_semantic_map,
    show_side_by_side,
    show_stage,
)
from .follow import follow  # noqa: E402
from .images import SAMPLES, load_image, preprocess, sample_photo  # noqa: E402
from .inside import Inside  # noqa: E402
from .models import MODELS, load_model  # noqa: E402
from .overlay import draw_instances, draw_semantic_map, overlay_segmentation_mask, semantic_map  # noqa: E402
from .prediction import Instances, Prediction  # noqa: E402
from .segmentation import predict, segment_image  # noqa: E402
from .trace import Trace, trace  # noqa: E402

__all__ = [
    "MODELS",
    "SAMPLES",
    "Explorer",
    "ImageError",
    "Inside",
    "Instances",
    "MasksegError",
    "ModelError",
    "Prediction",
    "Trace",
    "doctor",
    "draw_instances",
    "draw_semantic_map",
    "figure_png",
    "follow",
    "load_image",
    "load_model",
    "overlay_segmentation_mask",
    "predict",
    "preprocess",
    "sample_photo",
    "segment_image",
    "semantic_map",
    "show_journey",
    "show_pictures",
    "show_semantic_map",
    "show_side_by_side",
    "show_stage",
    "trace",
]
