"""See, step by step, how Mask R-CNN turns a photograph into instance masks."""

from .errors import DatasetError, ImageError, MasksegError, ModelError, TrainingError, require_opencv

require_opencv()

from .coco_format import write_coco  # noqa: E402
from .datasets import CocoDataset, voc_photograph  # noqa: E402
from .doctor import doctor  # noqa: E402
from .evaluation import Evaluation, evaluate  # noqa: E402
from .evaluation_figures import (  # noqa: E402
    show_confusion,
    show_f1,
    show_precision_recall,
    show_worst,
)
from .explorer import Explorer  # noqa: E402
from .export import export  # noqa: E402
from .export_formats import FORMATS  # noqa: E402
from .figures import (  # noqa: E402
    figure_png,
    show_journey,
    show_pictures,
    show_semantic_map,
    show_side_by_side,
    show_stage,
)
from .folder import segment_folder, segment_pictures  # noqa: E402
from .folder_figure import show_folder  # noqa: E402
from .follow import follow  # noqa: E402
from .images import SAMPLES, load_image, preprocess, sample_photo  # noqa: E402
from .inside import Inside  # noqa: E402
from .instances import Instances  # noqa: E402
from .label_maps import instance_map, semantic_map  # noqa: E402
from .match_drawing import draw_match  # noqa: E402
from .matching import Match, Outcome, match  # noqa: E402
from .measures import measure  # noqa: E402
from .models import load_model  # noqa: E402
from .overlay import draw_instances, draw_semantic_map, overlay_segmentation_mask  # noqa: E402
from .prediction import Prediction  # noqa: E402
from .segmentation import predict, segment_image  # noqa: E402
from .shapes import ShapesDataset  # noqa: E402
from .threshold_explorer import ThresholdExplorer  # noqa: E402
from .trace import Trace, trace  # noqa: E402
from .training import Trained, train  # noqa: E402
from .training.augmentation import Augmentation  # noqa: E402
from .training.chart import TrainingChart, show_training  # noqa: E402
from .training.fine_tuning import with_categories  # noqa: E402
from .training.settings import TrainingSettings  # noqa: E402
from .truth import PictureList, Truth, split  # noqa: E402
from .zoo import MODELS  # noqa: E402

__all__ = [
    "FORMATS",
    "MODELS",
    "SAMPLES",
    "Augmentation",
    "CocoDataset",
    "DatasetError",
    "Evaluation",
    "Explorer",
    "ImageError",
    "Inside",
    "Instances",
    "MasksegError",
    "Match",
    "ModelError",
    "Outcome",
    "PictureList",
    "Prediction",
    "ShapesDataset",
    "ThresholdExplorer",
    "Trace",
    "Trained",
    "TrainingChart",
    "TrainingError",
    "TrainingSettings",
    "Truth",
    "doctor",
    "draw_instances",
    "draw_match",
    "draw_semantic_map",
    "evaluate",
    "export",
    "figure_png",
    "follow",
    "instance_map",
    "load_image",
    "load_model",
    "match",
    "measure",
    "overlay_segmentation_mask",
    "predict",
    "preprocess",
    "sample_photo",
    "segment_folder",
    "segment_image",
    "segment_pictures",
    "semantic_map",
    "show_confusion",
    "show_f1",
    "show_folder",
    "show_journey",
    "show_pictures",
    "show_precision_recall",
    "show_semantic_map",
    "show_side_by_side",
    "show_stage",
    "show_training",
    "show_worst",
    "split",
    "trace",
    "train",
    "voc_photograph",
    "with_categories",
    "write_coco",
]
