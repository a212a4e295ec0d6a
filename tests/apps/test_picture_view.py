"""The picture view: what goes to the browser, and what a browser may send."""

import cv2
import numpy as np
import pytest

from maskseg_nb import Instances
from maskseg_nb.apps.picture_view import PictureView, instance_items, item
from maskseg_nb.apps.table_view import TableView

NAN = float("nan")


@pytest.fixture
def view():
    return PictureView()


def tell(widget, content):
    """What the front end sends: a custom message, where the kernel takes it in."""
    widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


def shapes():
    """Two instances in 40 x 60 pixels: a square with a hole, and two parts."""
    ring = np.ones((12, 12), bool)
    ring[4:8, 4:8] = False
    parts = np.zeros((6, 20), bool)
    parts[:, :5] = parts[:, 15:] = True
    return Instances(
        boxes=np.array([[5, 8, 17, 20], [30, 10, 50, 16]], np.float32),
        labels=np.array([1, 2]),
        scores=np.array([0.9, 0.6], np.float32),
        crops=(ring, parts),
        corners=np.array([[8, 5], [10, 30]]),
        indices=np.array([0, 3]),
        image_size=(40, 60),
        categories=("background", "person", "car"),
    )


def test_what_is_shown_already_is_neither_encoded_nor_sent_again(view, monkeypatch):
    left, first, second = (np.full((8, 8, 3), level, np.uint8) for level in (10, 90, 200))
    sent = []
    view.show(left, first, ("Original", "Segmented"))
    monkeypatch.setattr(view, "send_state", lambda key: sent.append(set(key)))
    view.show(left, second, ("Original", "Segmented"), note="a note")
    assert sent == [{"right", "note"}]
    encodings = []
    monkeypatch.setattr("maskseg_nb.apps.picture_view.encoded", lambda *_: encodings.append(1) or b"")
    view.show(left, second, ("Original", "Segmented"))
    assert not encodings


def test_a_masks_edge_keeps_its_colour_in_the_jpeg(view):
    """Colour at full resolution: with halved colour the edge between red and cyan would be grey."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :15], picture[:, 15:] = (230, 40, 40), (40, 230, 230)
    view.show(picture, picture, ("a", "b"))
    decoded = cv2.imdecode(np.frombuffer(view.left, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(decoded.astype(int) - picture).max() < 40


def test_an_items_outline_is_the_edge_of_its_mask():
    """Filled by another hand, with holes left out as the browser does, the outline is the mask again."""
    instances = shapes()
    for found, mask in zip(
        instance_items(instances, [(255, 0, 0), (0, 0, 255)]), instances.masks, strict=True
    ):
        rings = [np.array(ring, np.int32).reshape(-1, 1, 2) for ring in found["outline"]]
        filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), rings, -1, 1, cv2.FILLED)
        assert np.array_equal(filled > 0, mask)


def test_an_item_bears_the_number_of_its_row_in_the_prediction():
    first, second = instance_items(shapes(), [(255, 0, 0), (0, 0, 255)])
    assert (first["id"], second["id"]) == (1, 4)
    assert second["label"] == "4 car 0.60" and second["text"] == "4 car 0.60, 60 pixels"
    assert first["color"] == "rgb(255, 0, 0)" and first["box"] == [5, 8, 17, 20]


def test_an_instance_without_a_pixel_can_be_pointed_at_by_its_box():
    empty = Instances(**{**vars(shapes()), "crops": (np.zeros((12, 12), bool), np.zeros((6, 20), bool))})
    first, _ = instance_items(empty, [(255, 0, 0), (0, 0, 255)])
    assert first["outline"] == [] and first["at"] == [11, 8]


def test_what_a_picture_is_called_goes_out_as_visible_text(view):
    view.show(*np.zeros((2, 4, 4, 3), np.uint8), ("a\nb", "\x1b[31m"))
    assert all(title.isprintable() for title in view.titles)
    assert item(1, (0, 0, 1, 1), "x\ny")["text"].isprintable()


@pytest.mark.parametrize(
    "content",
    [
        {"panel": 0, "x": NAN, "y": 0.5},
        {"panel": 0, "x": "0.3", "y": 0.5},
        {"panel": 2, "x": 0.3, "y": 0.5},
        {"panel": None, "x": 0.3, "y": 0.5},
        {"x": 0.3, "y": 0.5},
        {"panel": 1, "x": -0.1, "y": 0.5},
        {"panel": 1, "x": 0.1, "y": [0.5]},
        [],
        None,
        "x",
    ],
    ids=repr,
)
def test_a_click_that_is_none_is_not_passed_on(view, content):
    heard = []
    view.on_click(lambda *place: heard.append(place))
    tell(view, content)
    assert heard == []
    tell(view, {"panel": 1, "x": 0.25, "y": 1})
    assert heard == [(1, 0.25, 1.0)]


@pytest.mark.parametrize("widget", [PictureView, TableView])
def test_only_a_number_hides_an_item(widget):
    view, heard = widget(), []
    view.on_hide(heard.append)
    for content in ({"hide": "3"}, {"hide": None}, {"hide": True}, {"hide": [3]}, {}):
        tell(view, content)
    assert heard == []
    tell(view, {"hide": 3})
    assert heard == [3]
