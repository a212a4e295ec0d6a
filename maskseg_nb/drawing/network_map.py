"""The map of the network: every stage with its channels, strides and counts, drawn from the model itself."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.ops import MultiScaleRoIAlign

from .._shared.checks import check_model
from .._shared.text import as_html
from ..mask_rcnn.knobs import Knobs
from ..mask_rcnn.stages import Features, Normalised, features
from ..mask_rcnn.trace import STAGES, Trace
from ..models.backbones import parts
from .map_panels import Level, draw_map

PROBE = 256  # pixels, each side of an empty input: it shows channels and strides where there is no trace


@dataclass(frozen=True)
class NetworkMap:
    """A drawing that a notebook shows as a cell's last value.

    Attributes:
        svg: The file's text; `Path("map.svg").write_text(network_map(model).svg)` keeps it.
        alt: The same in words, for whoever cannot see it.
    """

    svg: str
    alt: str

    def __str__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        data = base64.b64encode(self.svg.encode()).decode()
        # An image in HTML keeps its alternative text, and is shown in a notebook that is not trusted, too.
        picture = f'<img alt="{as_html(self.alt)}" src="data:image/svg+xml;base64,{data}">'
        return {"text/html": picture, "text/plain": self.alt}


def network_map(model: MaskRCNN, trace: Trace | None = None, here: str | None = None) -> NetworkMap:
    """Draw the network from the model itself: what reads what, channels, strides, what has learned anything.

    Args:
        model: A torchvision MaskRCNN. Of a backbone without torchvision's feature pyramid only the maps that
            come out are drawn, and the map says so.
        trace: A run of this model: its sizes and counts, and which stages ran again. None: what the model
            allows at most.
        here: The stage to light, one of "normalised", "features", "anchors", "proposals", "box_scores",
            "detections", "masks". None lights none.

    Returns:
        An SVG with a background of its own, light or dark as the page around it.

    Raises:
        TypeError: `model` has no mask head.
        ValueError: `model` is in training mode, there is no such stage, or the trace is of another model.
    """
    model = check_model(model)
    if here is not None and here not in STAGES:
        raise ValueError(f"here must be one of {', '.join(STAGES)}, got {here!r}")
    if trace is not None and trace.model is not model:
        raise ValueError("trace must be a run of this model; give network_map(trace.model, trace)")
    maps = trace.features if trace else _probed(model)
    counts = _counts(trace) if trace else _limits(model)
    texts = {name: (*lines, *counts.get(name, ())) for name, lines in _what(model).items()}
    weights = _weights(model)
    learned = {
        name: f"{_rounded(weights[name])} weights" if name in weights else "nothing to learn"
        for name in STAGES
    }
    pools = {"box_scores": model.roi_heads.box_roi_pool, "masks": model.roi_heads.mask_roi_pool}
    reads = {"anchors": "every level", **{name: _levels_read(pool, maps) for name, pool in pools.items()}}
    alt = _in_words(model, maps, texts, here)
    rerun = trace.rerun_stages if trace and len(trace.rerun_stages) < len(STAGES) else ()
    svg = draw_map(alt, _notes(model, maps), _levels(maps, trace), texts, learned, reads, here, rerun)
    return NetworkMap(svg, alt)


def _probed(model: MaskRCNN) -> Features:
    """The maps of an empty input."""
    blank = next(model.parameters()).new_zeros(1, 3, PROBE, PROBE)
    with torch.no_grad():
        return features(model, Normalised(blank, (PROBE, PROBE), (PROBE, PROBE)))


def _levels(maps: Features, trace: Trace | None) -> list[Level]:
    """A level of the pyramid each, the finest first, with the backbone's map beside it where there is one."""
    bodies = [
        f"C{name[1:]}: {values.shape[1]} channels"
        for name, values in zip(maps.names, maps.body.values(), strict=False)
    ]
    rows = []
    for name, values, pixels in zip(maps.names, maps.maps.values(), maps.pixels, strict=True):
        height, width = values.shape[-2:]
        size = f"{height} x {width} cells, {pixels} px each" if trace else f"a cell every {pixels} pixels"
        rows.append(Level(bodies.pop(0) if bodies else "", f"{name}: {size}"))
    return rows


def _notes(model: MaskRCNN, maps: Features) -> tuple[str, str]:
    """What stands above the backbone and above what comes out of it."""
    backbone, channels = model.backbone, model.backbone.out_channels
    if not maps.body:
        return f"{type(backbone).__name__}: its inside is not drawn", f"{channels} channels"
    wrapped = "layer4" in dict(backbone.body.named_children())  # torchvision reaches into a ResNet so
    name = "ResNet" if wrapped else type(backbone.body).__name__
    return f"backbone: {name}", f"feature pyramid: {channels} channels on every level"


def _weights(model: MaskRCNN) -> dict[str, int]:
    """How many numbers each stage has learned; those that only sort, compare and drop are left out."""
    counts = {
        name: sum(p.numel() for part in modules for p in part.parameters())
        for name, modules in parts(model).items()
    }
    heads = {"anchors": counts.pop("rpn"), "box_scores": counts.pop("box"), "masks": counts.pop("mask")}
    return {"features": sum(counts.values()), **heads}


def _rounded(count: int) -> str:
    return f"{count / 1e6:.1f} million" if count >= 50_000 else f"{count:,}"


def _what(model: MaskRCNN) -> dict[str, tuple[str, ...]]:
    """What each stage does, whatever the image."""
    heads, classes = model.roi_heads, model.roi_heads.box_predictor.cls_score.out_features
    ups = (m for part in (heads.mask_head, heads.mask_predictor) for m in part.modules())
    scale = prod(m.stride[0] for m in ups if isinstance(m, nn.ConvTranspose2d))
    side = heads.mask_roi_pool.output_size[0] * scale
    return {
        "normalised": ("a mean subtracted,", "divided by a deviation"),
        "features": (),
        "anchors": (
            _layers([model.rpn.head]),
            f"{model.rpn.anchor_generator.num_anchors_per_location()[0]} shapes at every cell",
            "objectness and 4 deltas",
        ),
        "proposals": ("each level's best,", f"NMS: IoU at most {model.rpn.nms_thresh:g}"),
        "box_scores": (
            _cells(heads.box_roi_pool),
            _layers([heads.box_head]),
            f"{classes} scores, {classes} x 4 deltas",
        ),
        "detections": ("each category's best,", f"NMS: IoU at most {heads.nms_thresh:g}"),
        "masks": (
            _cells(heads.mask_roi_pool),
            _layers([heads.mask_head]),
            f"{classes} masks of {side} x {side}",
        ),
    }


def _limits(model: MaskRCNN) -> dict[str, tuple[str, ...]]:
    """What the model allows at most."""
    knobs, transform = Knobs.of(model), model.transform
    return {
        "normalised": (f"short side {transform.min_size[-1]} px,", f"long side at most {transform.max_size}"),
        "proposals": (
            f"from {knobs.rpn_pre_nms_top_n:,} a level",
            f"to {knobs.rpn_post_nms_top_n:,} at most",
        ),
        "detections": (
            f"scored above {knobs.box_score_threshold:g},",
            f"{knobs.box_detections_per_img:,} at most",
        ),
    }


def _counts(trace: Trace) -> dict[str, tuple[str, ...]]:
    """What there was in this run."""
    found, proposals = len(trace.detections.scores), len(trace.proposals.boxes)
    (tall, wide), (height, width) = trace.normalised.image_size, trace.normalised.size
    return {
        "normalised": (f"from {tall} x {wide} px", f"to {height} x {width} px"),
        "anchors": (f"{len(trace.anchors.boxes):,} anchors",),
        "proposals": (f"from {len(trace.proposals.candidates):,} candidates", f"to {proposals:,} proposals"),
        "box_scores": (f"{proposals:,} boxes read",),
        "detections": (f"from {len(trace.detections.outcomes):,} pairs", f"to {found:,} detections"),
        "masks": (f"{found:,} boxes read",),
    }


def _cells(pool: MultiScaleRoIAlign) -> str:
    height, width = pool.output_size
    return f"RoIAlign: {height} x {width} cells"


def _levels_read(pool: MultiScaleRoIAlign, maps: Features) -> str:
    """As "P2 to P5"."""
    names = [name for key, name in zip(maps.maps, maps.names, strict=True) if key in pool.featmap_names]
    return " to ".join(dict.fromkeys((names[0], names[-1])))


def _layers(modules: Iterable[nn.Module]) -> str:
    """What a head is made of, as "4 convolutions, 1 dense"."""
    layers = [m for module in modules for m in module.modules()]
    convolutions = sum(isinstance(m, nn.Conv2d) for m in layers)
    dense = sum(isinstance(m, nn.Linear) for m in layers)
    said = [f"{convolutions} convolution{'s' * (convolutions > 1)}"] * (convolutions > 0)
    return ", ".join(said + [f"{dense} dense" + " layers" * (not said)] * (dense > 0))


def _in_words(model: MaskRCNN, maps: Features, texts: Mapping[str, Sequence[str]], here: str | None) -> str:
    levels = (
        f"{name} has a cell every {pixels} pixels"
        for name, pixels in zip(maps.names, maps.pixels, strict=True)
    )
    said = {**texts, "features": (*_notes(model, maps), *levels)}
    stages = (
        f"{STAGES[name].title}: {', '.join(text.strip(',') for text in said[name])}." for name in STAGES
    )
    place = f" You are here: {STAGES[here].title}." if here else ""
    return f"Map of a Mask R-CNN. {' '.join(stages)}{place}"
