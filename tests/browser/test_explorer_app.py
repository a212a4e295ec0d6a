"""The explorer as a person meets it: notebook 00 in a real JupyterLab, its controls moved by hand.

What is asserted is what the browser decoded: each panel against what the public API makes in this process.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from torchvision.models.detection import MaskRCNN

from lab import (
    DECODERS,
    AppInPage,
    Lab,
    choose_theme,
    contrast,
    difference,
    name_of_the_focused,
    too_wide,
)
from maskseg_nb import (
    Instances,
    Prediction,
    draw_instances,
    draw_semantic_map,
    load_image,
    load_model,
    overlay_segmentation_mask,
    predict,
    preprocess,
    sample_photo,
    semantic_map,
)
from maskseg_nb.data.codec import encoded

ASTRONAUT, RESTAURANT = sample_photo("astronaut"), sample_photo("restaurant")


@lru_cache
def predicted(photo: Path | bytes) -> tuple[np.ndarray, Prediction]:
    size = None if isinstance(photo, bytes) else (800, 800)  # an upload keeps its proportions
    tensor, image = preprocess(photo, size=size)
    return image, predict(street(), tensor)


@lru_cache
def street() -> MaskRCNN:
    return load_model("street")


def kept(photo: Path | bytes, score_threshold: float = 0.5, **options: Any) -> Instances:
    return predicted(photo)[1].select(score_threshold=score_threshold, **options)


class App(AppInPage):
    """The explorer in an open page."""

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.status = self.root.get_by_text("detections shown")

    def upload(self, name: str, data: bytes) -> None:
        # The input is never put into the page: the button's click makes the browser ask for a file.
        with self.page.expect_file_chooser() as chooser:
            self.button("Upload").click()
        chooser.value.set_files({"name": name, "mimeType": "image/png", "buffer": data})

    @contextmanager
    def redraws_the_right_panel_only(self) -> Iterator[None]:
        """What the block does must bring another picture, of which the left panel is the same to the bit."""
        left, right = self.panels()
        yield
        new_left, _ = self.wait_for_another_picture(right)
        assert np.array_equal(left, new_left)

    def must_show(self, photo: Path | bytes, instances: Instances, blended: np.ndarray | None = None) -> None:
        """Wait for the count and both panels; the right one is `draw_instances`' where nothing is given.

        Its labels are the view's own.
        """
        image, prediction = predicted(photo)
        blended = draw_instances(image, instances, labels=False) if blended is None else blended
        expect(self.status).to_contain_text(f"{len(instances)} of {len(prediction)} detections shown")
        self.wait_for_panels(image, blended)


@pytest.fixture(scope="module")
def page(open_notebook: Any) -> Page:
    return open_notebook("00_explore.ipynb")


@pytest.fixture
def app(page: Page, complaints: list[str]) -> Iterator[App]:
    """The explorer with the astronaut and every knob at its default; its console must stay silent."""
    app = App(page)
    app.button("Reset").click()
    app.choice("Picture").select_option("astronaut (sample)")
    app.must_show(ASTRONAUT, kept(ASTRONAUT))
    yield app
    said = complaints.copy()
    complaints.clear()
    assert said == []


def several(app: App) -> Instances:
    """Lower the score threshold until the astronaut has company that is called otherwise."""
    app.number("Score threshold").fill("0.2")
    app.number("Score threshold").press("Enter")
    instances = kept(ASTRONAUT, 0.2)
    app.must_show(ASTRONAUT, instances)
    assert len(set(instances.names)) > 1
    return instances


def test_score_threshold_keys_let_in_one_detection_after_the_other(app: App):
    before = kept(ASTRONAUT)
    lower = next(t / 100 for t in range(49, 5, -1) if len(kept(ASTRONAUT, t / 100)) > len(before))
    with app.redraws_the_right_panel_only():
        for _ in range(round((0.5 - lower) / 0.01)):
            app.handle("Score threshold").press("ArrowLeft")
        app.must_show(ASTRONAUT, kept(ASTRONAUT, lower))
    # Not 0.45999999999999996, although the browser's slider counts steps from its minimum, 0.05.
    expect(app.number("Score threshold")).to_have_value(f"{lower:g}")


def test_keys_that_are_faster_than_the_redraws_all_count(app: App):
    for _ in range(10):
        app.handle("Score threshold").press("ArrowLeft")
    expect(app.number("Score threshold")).to_have_value("0.4")
    app.must_show(ASTRONAUT, kept(ASTRONAUT, 0.4))
    expect(app.handle("Score threshold")).to_have_attribute("aria-valuetext", re.compile(r"^0\.(4|39{9})"))


def test_blend_alpha_keys_change_every_colour_and_no_count(app: App):
    image, _ = predicted(ASTRONAUT)
    for key, alpha in (("ArrowRight", 0.51), ("ArrowLeft", 0.5), ("End", 1.0)):
        with app.redraws_the_right_panel_only():
            app.handle("Blend alpha").press(key)
        instances = kept(ASTRONAUT)
        app.must_show(ASTRONAUT, instances, draw_instances(image, instances, alpha, labels=False))
        expect(app.number("Blend alpha")).to_have_value(f"{alpha:g}")


def test_alpha_0_without_labels_shows_the_photograph_twice(app: App):
    app.root.get_by_text("Labels", exact=True).click()
    app.handle("Blend alpha").press("Home")
    app.must_show(ASTRONAUT, kept(ASTRONAUT), predicted(ASTRONAUT)[0])
    left, right = app.panels()
    assert np.abs(left.astype(int) - right).mean() < 3


def test_mask_threshold_typed_as_a_number_moves_slider_and_picture(app: App):
    with app.redraws_the_right_panel_only():
        app.number("Mask threshold").fill("0.9")
        app.number("Mask threshold").press("Enter")
    app.must_show(ASTRONAUT, kept(ASTRONAUT, mask_threshold=0.9))
    expect(app.handle("Mask threshold")).to_have_attribute("aria-valuetext", "0.9")


@pytest.mark.parametrize("name", ["restaurant", "coffee"])
def test_another_picture_changes_both_panels(app: App, name: str):
    before = app.panels()
    app.choice("Picture").select_option(f"{name} (sample)")
    photo = sample_photo(name)
    instances = kept(photo)
    if not len(instances):  # a note lies over the picture's foot
        expect(app.status).to_contain_text(f"0 of {len(predicted(photo)[1])} detections shown")
        assert difference(app.panels()[0], predicted(photo)[0]) < DECODERS
    else:
        app.must_show(photo, instances)
    assert all(difference(old, new) > 20 for old, new in zip(before, app.panels(), strict=True))


def test_an_uploaded_photograph_is_segmented_and_chosen(app: App):
    part = load_image(RESTAURANT)[:, :400]  # a picture that is in no list
    photo = encoded(".png", part)
    app.upload("lunch.png", photo)
    instances = kept(photo)
    assert len(instances)
    app.must_show(photo, instances)
    expect(app.choice("Picture")).to_have_value("lunch.png (upload)")


@pytest.mark.parametrize(
    "style", ["white, as documented", "colour per category", "colour and outline", "semantic map"]
)
def test_a_style_is_drawn_by_its_function(app: App, style: str):
    image, instances = predicted(ASTRONAUT)[0], several(app)
    blended = {
        "white, as documented": lambda: overlay_segmentation_mask(image, instances.masks),
        "colour per category": lambda: draw_instances(image, instances, color_by="category", labels=False),
        "colour and outline": lambda: draw_instances(image, instances, outline=True, labels=False),
        "semantic map": lambda: draw_semantic_map(image, semantic_map(instances)),
    }[style]()
    with app.redraws_the_right_panel_only():
        app.choice("Style").select_option(style)
    app.must_show(ASTRONAUT, instances, blended)


def test_a_category_s_button_hides_it_and_shows_it_again(app: App):
    everything = several(app)
    other = next(name for name in everything.names if name != "person")
    chip = app.button(re.compile(f"^{other}"))
    rest = [name for name in everything.categories[1:] if name != other]
    for instances in (kept(ASTRONAUT, 0.2, categories=rest), everything):
        with app.redraws_the_right_panel_only():
            chip.click()
        app.must_show(ASTRONAUT, instances)


def test_save_writes_the_segmented_photograph_and_refresh_offers_it(app: App, lab: Lab):
    app.button("Save ...").click()
    app.button(re.compile("Save$")).click()
    expect(app.root.get_by_text("Saved as")).to_contain_text("astronaut-segmented.png")
    saved = load_image(lab.folder / "astronaut-segmented.png")
    photo = load_image(ASTRONAUT)  # 512 x 512: not the 800 x 800 on screen
    instances = predicted(ASTRONAUT)[1].to_size(photo.shape[:2]).select()
    assert np.array_equal(saved, draw_instances(photo, instances))
    app.button("Refresh").click()
    expect(app.choice("Picture")).to_contain_text("astronaut-segmented.png")
    app.screenshot("explorer-save.png")
    assert too_wide(app.root) == []
    app.button("Save ...").click()
    expect(app.button(re.compile("Save$"))).to_have_count(0)


def test_a_broken_upload_is_one_escaped_line_and_the_app_lives_on(app: App):
    before = app.panels()
    app.upload("<img src=x onerror=document.title='hurt'>.png", b"this is a text")
    alert = app.root.get_by_role("alert")
    expect(alert).to_contain_text("<img src=x onerror=")
    assert alert.locator("*").count() == 0 and "\n" not in alert.inner_text()
    assert app.page.title() != "hurt"
    assert all(np.array_equal(old, new) for old, new in zip(before, app.panels(), strict=True))
    expect(app.choice("Picture")).to_have_value("astronaut (sample)")
    with app.redraws_the_right_panel_only():
        app.handle("Blend alpha").press("ArrowRight")
    expect(alert).to_have_count(0)


def test_every_control_is_reached_with_the_tab_key_and_has_a_name(app: App):
    knobs = ["Score threshold", "Mask threshold", "Blend alpha"]
    wanted = ["Picture", "Refresh", "Upload", "Model", "Input size", "Style"]
    wanted += ["Labels", "Undo", "Reset", "Show code", "Save ..."]
    chips = app.root.get_by_title("Show or hide").all_inner_texts()
    wanted += [chip.split(":")[0] for chip in chips]
    wanted += [name for knob in knobs for name in (knob, f"{knob}, as a number")]
    wanted += ["Controls", "Present", "\u2212", "+", "\u2922", "Pin", "Compare"]
    app.choice("Picture").focus()
    reached = []
    for _ in wanted:
        reached.append(name_of_the_focused(app.page))
        app.page.keyboard.press("Tab")
    assert reached == wanted


def test_everything_fits_into_a_window_1280_wide(app: App):
    app.button("Show code").click()  # the widest text
    expect(app.root.locator("pre")).to_contain_text("from maskseg_nb import")
    app.choice("Picture").select_option("restaurant (sample)")
    app.must_show(RESTAURANT, kept(RESTAURANT))
    assert too_wide(app.root) == []
    app.button("Show code").click()
    expect(app.root.locator("pre")).to_have_count(0)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_text_is_readable_in_either_theme(app: App, theme: str):
    app.choice("Picture").select_option("restaurant (sample)")
    app.must_show(RESTAURANT, kept(RESTAURANT))
    choose_theme(app.page, f"JupyterLab {theme}")
    score = f"{kept(RESTAURANT).scores[0]:.2f}"
    for text in (app.status, app.root.get_by_role("cell", name=score).first):
        assert contrast(text) > 4.5  # the least that WCAG asks for
    app.screenshot(f"explorer-{theme.lower()}.png", height=1100)  # the whole table is to be on it
