"""Clicks as the browser sends them, and what else it might send."""

import re

import pytest

from maskseg_nb.apps.clickable_image import ClickableImage

NAN = float("nan")
HOSTILE = [
    {"x": NAN, "y": NAN},
    {"x": 0.3, "y": NAN},
    {"x": float("inf"), "y": 0.5},
    {"x": -0.1, "y": 0.5},
    {"x": 0.5, "y": 1.0001},
    {"x": 10**400, "y": 0.5},
    {"x": "0.3", "y": "0.5"},
    {"x": None, "y": 0.5},
    {"x": [0.3], "y": {"y": 0.5}},
    {"x": 0.3},
    {},
    {"X": 0.3, "Y": 0.5},
    {"__class__": "x", "x": "<script>", "y": "'; drop"},
    None,
    [],
    "x",
    3,
    [0.3, 0.5],
]


def send(picture, content):
    """A custom message, as the kernel receives it."""
    picture._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


@pytest.fixture
def clicks():
    return []


@pytest.fixture
def picture(clicks):
    picture = ClickableImage(value=b"jpeg")
    picture.on_click(lambda x, y: clicks.append((x, y)))
    return picture


def test_a_click_is_passed_on_as_two_floats(picture, clicks):
    for x, y in ((0.25, 0.75), (0, 0), (1, 1)):
        send(picture, {"x": x, "y": y, "more": "of no use"})
    assert clicks == [(0.25, 0.75), (0.0, 0.0), (1.0, 1.0)]
    assert all(isinstance(number, float) for click in clicks for number in click)


def test_every_callback_gets_a_click(picture, clicks):
    picture.on_click(lambda x, y: clicks.append("second"))
    send(picture, {"x": 0.5, "y": 0.5})
    assert clicks == [(0.5, 0.5), "second"]


@pytest.mark.parametrize("content", HOSTILE, ids=str)
def test_what_is_not_a_click_is_not_passed_on_and_the_next_click_is(picture, clicks, content):
    send(picture, content)
    assert clicks == []
    send(picture, {"x": 0.5, "y": 0.5})
    assert clicks == [(0.5, 0.5)]


def test_the_picture_and_its_description_go_to_the_browser(picture):
    picture.description = "Two panels"
    sent = picture.get_state()
    assert bytes(sent["value"]) == b"jpeg" and sent["description"] == "Two panels"


def test_its_script_and_style_load_nothing_from_elsewhere(picture):
    sent = picture.get_state()
    assert not re.search(r"//\w|\bimport\b|@import|innerHTML", sent["_esm"] + sent["_css"])
