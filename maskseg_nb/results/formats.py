"""The formats that results can be written in: each is a function from one image's result to files."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from ..data.codec import encoded
from ..data.images import LONGEST_SIDE
from ..drawing.crop import fitted
from ..drawing.figures import figure_png, show_side_by_side
from ..drawing.overlay import draw_instances
from ..mask_rcnn.instances import Instances
from .coco import CocoImage, as_polygons, coco_entries, write_coco_results
from .label_maps import instance_map, label_map_png, semantic_map
from .measures import COLUMNS, measure
from .polygons import polygons

Files = dict[str, bytes]  # what follows the picture's own name -> content


@dataclass(frozen=True, eq=False)
class Exported:
    """One image's result, as every format takes it.

    Attributes:
        image: uint8 (H, W, 3), RGB, of the instances' size.
        instances: Each with at least one pixel.
        name, alpha, overlap: As in `export`.
    """

    image: np.ndarray
    instances: Instances
    name: str
    alpha: float
    overlap: str

    def drawn(self) -> np.ndarray:
        """The image with its instances in colour: uint8 (H, W, 3), RGB."""
        return draw_instances(self.image, self.instances, self.alpha)


def safe_name(name: str) -> str:
    """A name as the start of a file name: letters, digits, ".", "-" and "_" only, at most 50 of them."""
    plain = "".join(char if char.isalnum() or char in ".-_" else "_" for char in name).strip(".")
    return plain[:50] or "picture"  # 50: of up to 4 bytes each, and an ending, within Linux's 255 bytes


def write_csv(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of `measure`, each with its picture's name as "file", as a CSV table with a header.

    Pixels are rounded to 2 digits behind the point; scores, percentages and circularities to 4. Names are
    `plain_text`.
    """
    writer = csv.DictWriter(file, ("file", *COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _rounded(name, value) for name, value in row.items()} for row in rows)


def plain_text(text: str) -> str:
    """A text that a spreadsheet does not take for a formula: one that begins like it gets an apostrophe.

    A carriage return is written as a backslash and an r: Python's `csv` would not quote it, and many readers
    begin a new row there.
    """
    text = text.replace("\r", "\\r")
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text


def _rounded(column: str, value: Any) -> Any:
    if isinstance(value, str):
        return plain_text(value)
    digits = 4 if column in ("score", "percent", "circularity") else 2
    return round(value, digits) if isinstance(value, float) else value


def _overlay(result: Exported) -> Files:
    return {".overlay.png": encoded(".png", result.drawn())}


def _side_by_side(result: Exported) -> Files:
    figure = show_side_by_side(*map(_for_a_figure, (result.image, result.drawn())))
    return {".side-by-side.png": figure_png(figure)}


def _for_a_figure(image: np.ndarray) -> np.ndarray:
    """A large photograph shrunk to what a figure shows: matplotlib takes seconds, and 80 bytes per pixel."""
    height, width = image.shape[:2]
    shrink = max(1, height / LONGEST_SIDE, width / LONGEST_SIDE)
    return fitted(image, (max(1, round(height / shrink)), max(1, round(width / shrink))))


def _instance_map(result: Exported) -> Files:
    pixels, instances = instance_map(result.instances, result.overlap), result.instances
    seen = set(np.unique(pixels).tolist())
    rows = zip(instances.numbers.tolist(), instances.names, instances.scores.tolist(), strict=True)
    values = [{"value": n, "category": name, "score": score} for n, name, score in rows if n in seen]
    return _map_and_legend("instances", pixels, values, result.overlap)


def _category_map(result: Exported) -> Files:
    class_map = semantic_map(result.instances, result.overlap)
    values = [
        {"value": label, "category": result.instances.categories[label]}
        for label in np.unique(class_map).tolist()
        if label
    ]
    return _map_and_legend("categories", class_map, values, result.overlap)


def _map_and_legend(kind: str, pixels: np.ndarray, values: list[dict[str, Any]], overlap: str) -> Files:
    legend = {"overlap": f"where two overlap, the {overlap} is on top", "background": 0, "values": values}
    return {f".{kind}.png": label_map_png(pixels), f".{kind}.json": json.dumps(legend, indent=1).encode()}


def instance_file(kind: str, number: int) -> str:
    """How the name of an instance's own file ends: ".mask-001.png"."""
    return f".{kind}-{number:03d}.png"


def _masks(result: Exported) -> Files:
    files, instances = {}, result.instances
    for number, window, crop in zip(instances.numbers, instances.windows, instances.crops, strict=True):
        mask = np.zeros(instances.image_size, np.uint8)
        mask[window] = np.uint8(255) * crop
        files[instance_file("mask", number)] = encoded(".png", mask)
    return files


def _cut_outs(result: Exported) -> Files:
    files, instances = {}, result.instances
    for number, window, crop in zip(instances.numbers, instances.windows, instances.crops, strict=True):
        cut_out = np.dstack([result.image[window], np.uint8(255) * crop])  # (h, w, 4), RGBA
        files[instance_file("cut-out", number)] = encoded(".png", cut_out)
    return files


def _contours(result: Exported) -> Files:
    features, instances = [], result.instances
    for index, crop in enumerate(instances.crops):
        top, left = instances.corners[index].tolist()
        rings = [  # closed: the first point is the last one, too
            [[*ring.tolist(), ring[0].tolist()] for ring in (polygon.outer, *polygon.holes)]
            for polygon in polygons(crop, (top, left))
        ]
        properties = {
            "instance": int(instances.numbers[index]),
            "category": instances.names[index],
            "score": float(instances.scores[index]),
        }
        geometry = {"type": "MultiPolygon", "coordinates": rings}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    return {".geojson": json.dumps({"type": "FeatureCollection", "features": features}).encode()}


def _coco(result: Exported) -> Files:
    return {".coco.json": _coco_json(result, coco_entries(result.instances))}


def _coco_polygons(result: Exported) -> Files:
    entries = list(map(as_polygons, coco_entries(result.instances)))
    return {".coco-polygons.json": _coco_json(result, entries)}


def _coco_json(result: Exported, entries: list[dict[str, Any]]) -> bytes:
    text, instances = io.StringIO(), result.instances
    image = CocoImage(result.name, instances.image_size, entries)
    write_coco_results(text, lambda: [image], instances.categories)
    return text.getvalue().encode("ascii")


def _csv(result: Exported) -> Files:
    text = io.StringIO()
    write_csv(text, ({"file": result.name, **row} for row in measure(result.instances)))
    return {".csv": text.getvalue().encode("utf-8", "backslashreplace")}


FORMATS: dict[str, Callable[[Exported], Files]] = {
    "overlay": _overlay,  # the image, instances in colour
    "side_by_side": _side_by_side,  # a figure: the image, and the overlay beside it
    "instances": _instance_map,  # each pixel's instance, see `label_map_png`; with a legend
    "categories": _category_map,  # each pixel's category, likewise
    "masks": _masks,  # a picture per instance, named by its number, 255 inside and 0 outside
    "cut_outs": _cut_outs,  # a picture per instance, transparent outside, as large as the mask
    "contours": _contours,  # polygons along the pixels' edges, with holes, as GeoJSON; x y in pixels, y down
    "coco": _coco,  # COCO's format, masks as RLE
    "coco_polygons": _coco_polygons,  # the same with polygons; they have no holes, but cuts across them
    "csv": _csv,  # a table of measures
}
# How the names of a picture's files end, where it has the same ones whatever is found.
ENDINGS = {
    "overlay": (".overlay.png",),
    "side_by_side": (".side-by-side.png",),
    "instances": (".instances.png", ".instances.json"),
    "categories": (".categories.png", ".categories.json"),
    "contours": (".geojson",),
}
