"""See, step by step, how Mask R-CNN turns a photograph into instance masks."""

__version__ = "0.1.0"

from .errors import DatasetError, ImageError, MasksegError, ModelError, TrainingError, require_opencv

require_opencv()

from .apps.compare.app import Compare
from .apps.explorer.app import Explorer
from .apps.inside.app import Inside
from .apps.thresholds.app import ThresholdExplorer
from .apps.training_chart import TrainingChart
from .data.coco import CocoDataset
from .data.coco_writer import write_coco
from .data.datasets import PictureList, split
from .data.images import load_image, preprocess
from .data.samples import SAMPLES, sample_photo, voc_photograph
from .data.shapes import ShapesDataset
from .data.truth import Truth
from .diagnostics import doctor
from .drawing.figures import figure_png, show_journey, show_pictures, show_side_by_side, show_stage
from .drawing.network_map import network_map
from .drawing.overlay import draw_instances, draw_semantic_map, overlay_segmentation_mask
from .evaluation.calibration import reliability
from .evaluation.evaluate import Evaluation, evaluate
from .evaluation.figures import show_confusion, show_f1, show_precision_recall, show_worst
from .evaluation.match_pictures import draw_match
from .evaluation.matching import Match, Outcome, match
from .explain.compare import compare
from .explain.post_mortem import post_mortem
from .explain.receipt import receipt
from .explain.rescue import rescue
from .explain.succession import without
from .lessons.answers import answer
from .mask_rcnn.follow import follow
from .mask_rcnn.instances import Instances
from .mask_rcnn.predict import predict, segment_image
from .mask_rcnn.prediction import Prediction
from .mask_rcnn.trace import Trace, trace
from .models.loading import load_model
from .models.zoo import MODELS
from .results.export import export
from .results.figures import show_folder, show_semantic_map
from .results.folder import segment_folder, segment_pictures
from .results.formats import FORMATS
from .results.label_maps import instance_map, semantic_map
from .results.measures import measure
from .training.augmentation import Augmentation
from .training.figures import show_training
from .training.fine_tuning import with_categories
from .training.settings import TrainingSettings
from .training.train import Trained, train

__all__ = [
    "FORMATS",
    "MODELS",
    "SAMPLES",
    "Augmentation",
    "CocoDataset",
    "Compare",
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
    "answer",
    "compare",
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
    "network_map",
    "overlay_segmentation_mask",
    "post_mortem",
    "predict",
    "preprocess",
    "reliability",
    "receipt",
    "rescue",
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
    "without",
    "write_coco",
]
