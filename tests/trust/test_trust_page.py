"""Texts from strangers on the page: shown as they are, never read as markup, never acting unseen."""

import logging
import re
import shutil
from html.parser import HTMLParser
from unicodedata import category

import cv2
import ipywidgets as widgets
import numpy as np
import pytest
from front_end import file, png, strings, tree, upload
from PIL import Image

from maskseg_nb import (
    Explorer,
    Inside,
    Instances,
    load_model,
    sample_photo,
    show_pictures,
    show_semantic_map,
    trace,
)
from maskseg_nb._shared.text import as_html, visible
from maskseg_nb.apps.explorer.state import STYLES
from maskseg_nb.apps.picture_view import PictureView
from maskseg_nb.drawing.figures import figure_png
from maskseg_nb.mask_rcnn.trace import STAGES

# A file's name holds no slash, so some of these close no tag: a browser does not need it.
HOSTILE = {
    "image": "<img src=x onerror=alert(1)>",
    "script": "'><script>alert(1)<`script>",
    "quotes": "\" onmouseover=alert(1) x='&quot;",
    "entity": "&lt;iframe&gt;&#60;b&#62;",
    "template": "{{7*7}}${alert(1)}%s %(x)d {0}",
    "maths": r"$\frac{ \badcommand _$ $$ \(x\) \[y\]",
    "turned": "invoice_\u202egnp.exe\u202c\u2066\u200f",
    "control": "a\tb\x1b[31mc\x7f\x85",
}
SQUARE = '{"input_size": "800 x 800, as documented"}'
OURS = {"style", "img", "b", "br", "div", "i", "span", "table", "tr", "th", "td", "pre"}
ATTRIBUTES = {"class", "style", "role", "src", "alt"}


class Markup(HTMLParser):
    """What a browser finds in a piece of HTML: elements, attributes, text."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.attributes, self.text = set(), [], ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text += data


def unseen(text):
    return [c for c in text if category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\u200c\u200d"]


def text_of(widget):
    return Markup(widget.value).text


def check_page(app):
    """Every text that goes to the browser; what is not HTML is shown by the front end as plain text."""
    read_as_html = 0
    for widget in tree(app.widget):
        assert not isinstance(widget, (widgets.HTMLMath, widgets.Output))
        state = widget.get_state()
        assert not state.get("description_allow_html", False)
        for text in strings(state):
            assert not unseen(text) or text == "\u200b", (type(widget).__name__, text)  # ipywidgets' own
        if isinstance(widget, widgets.HTML):
            read_as_html += 1
            markup = Markup(widget.value)
            assert markup.elements <= OURS, widget.value
            assert {name for name, _ in markup.attributes} <= ATTRIBUTES, widget.value
            sources = [value for name, value in markup.attributes if name == "src"]
            assert all(re.fullmatch("data:image/jpeg;base64,[A-Za-z0-9+/=]+", source) for source in sources)
            styles = "".join(value for name, value in markup.attributes if name == "style")
            assert re.fullmatch(r"(background: rgb\(\d+, \d+, \d+\)|width: [\d.]+%)*", styles), styles
        elif isinstance(widget, widgets.Label):  # the front end looks for formulas in it
            assert "$" not in widget.value and "\\" not in widget.value
    assert read_as_html >= 4
    bundle = app._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    name = type(app).__name__
    assert bundle["text/plain"] == f"{name}: run this cell in JupyterLab to move its controls"


def every_view(app):
    """Walk through all that the app can show of its picture."""
    check_page(app)
    if isinstance(app, Explorer):
        app.state.score_threshold = 0.05
        app.controls.show_code.value = True
        for style in STYLES:
            app.state.style = style
            check_page(app)
        for chip in app.controls.chips.values():
            chip.value = False
            check_page(app)
        app.binding.reset.click()
    else:
        for stage in STAGES:
            app.controls.strip[stage].value = True
            app.controls.follow.index = 1 if app.controls.follow.index == 0 else 0
            check_page(app)


@pytest.fixture(scope="module", params=[Explorer, Inside])
def long_lived(request, tmp_path_factory, street):
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(sample_photo("restaurant"), folder / "a.jpg")
    return request.param(folder, street, settings=SQUARE)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, prediction, street_trace):
    """What the network says is no matter here: it always says the same."""
    monkeypatch.setattr("maskseg_nb.apps.explorer.state.predict", lambda model, tensor: prediction)
    monkeypatch.setattr("maskseg_nb.apps.inside.state.trace", lambda model, tensor, **knobs: street_trace)


@pytest.fixture
def app(long_lived):
    """An app with a.jpg, the same one for many tests: what one of them leaves must not harm the next."""
    long_lived.chooser.refresh.click()
    long_lived.chooser.picture.value = "a.jpg"
    long_lived.wait()
    long_lived.message.value = ""
    return long_lived


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_name_is_text_in_the_list_in_messages_and_in_the_code(app, name, got):
    folder = app.state.runner.pictures.folder
    name = f"{name}.png"
    (folder / name).write_bytes(b"no picture")
    app.chooser.refresh.click()
    label = visible(name.replace("\\", "\\\\"))
    assert label in app.chooser.picture.options and not unseen(label)
    app.chooser.picture.value = label
    app.wait()
    check_page(app)
    said = text_of(app.message)
    assert said.startswith(ascii(name)[:60]) and "is not a picture" in said and len(said) <= 300
    (folder / name).write_bytes(png(90, (40, 30)))
    app.chooser.picture.value = label
    app.wait()
    assert (app.state.picture, app.message.value) == (label, "")
    check_page(app)
    if isinstance(app, Explorer):
        app.controls.show_code.value = True
        assert repr(str(folder / name)) in text_of(app.code_shown)
        files = set(folder.iterdir())
        app.controls.save.click()
        assert "Saved as" in app.message.value and len(set(folder.iterdir()) - files) == 1
        check_page(app)
    upload(app, file(name, png(1)))
    assert app.state.picture.endswith(" (upload)")
    check_page(app)
    upload(app, file(name, b"no picture"))
    assert app.message.value.count("<") == 2
    check_page(app)
    got(said)


@pytest.mark.parametrize("app_class", [Explorer, Inside])
def test_hostile_categories_and_a_hostile_model_name_are_text_wherever_they_stand(
    app_class, tmp_path, restaurant, monkeypatch
):
    for batch in (list(HOSTILE.values())[:4], list(HOSTILE.values())[4:]):
        model = load_model("street")
        model.categories = ("__background__", *batch)
        model.name = batch[0]
        shutil.copy(sample_photo("restaurant"), tmp_path / "a.jpg")
        run = trace(model, restaurant[0])
        monkeypatch.setattr("maskseg_nb.apps.explorer.state.predict", lambda *_, run=run: run.prediction)
        monkeypatch.setattr("maskseg_nb.apps.inside.state.trace", lambda *_, run=run, **knobs: run)
        app = app_class(tmp_path, model, settings=SQUARE)  # as the run was
        every_view(app)
        assert visible(batch[0]) in text_of(app.status)
        assert visible(batch[0]) in app.chooser.model._options_labels
        where = app.table.rows[0]["cells"][1] if app_class is Explorer else text_of(app.way)
        assert " ".join(visible(batch[0]).split()) in " ".join(where.split())  # category 1, the people


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_error_is_one_line_of_text_and_goes_into_the_log_as_it_is(app, text, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError(text)

    part = "explorer.state.predict" if isinstance(app, Explorer) else "inside.state.trace"
    monkeypatch.setattr(f"maskseg_nb.apps.{part}", fail)
    app.chooser.picture.value = "cat (sample)"
    app.wait()
    check_page(app)
    said = text_of(app.message)
    assert said == f"unexpected RuntimeError: {visible(' '.join(text.split()))}" and "\n" not in said
    assert app.state.picture == "a.jpg"
    with caplog.at_level(logging.INFO, "maskseg_nb"):
        app.guarded(setattr, app.state, "mask_threshold", text)
    assert "mask_threshold must be a number" in caplog.text
    check_page(app)


def test_an_error_of_ten_thousand_characters_is_cut_to_300(app, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("<b>\u202e" * 2500)

    part = "explorer.state.predict" if isinstance(app, Explorer) else "inside.state.trace"
    monkeypatch.setattr(f"maskseg_nb.apps.{part}", fail)
    app.chooser.picture.value = "cat (sample)"
    app.wait()
    assert 200 < len(text_of(app.message)) <= 300
    check_page(app)


def test_hostile_exif_texts_change_neither_page_nor_pixels(app):
    folder = app.state.runner.pictures.folder
    exif = Image.Exif()
    # Description, maker, model, software, date, artist, copyright, host computer
    tags = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x013C)
    for tag, text in zip(tags, HOSTILE.values(), strict=True):
        exif[tag] = text
    with Image.open(sample_photo("coffee")) as image:
        small = image.convert("RGB").resize((90, 60))
    small.save(folder / "plain.png")
    small.save(folder / "texts.png", exif=exif)
    assert (folder / "texts.png").stat().st_size > (folder / "plain.png").stat().st_size + 200
    app.chooser.refresh.click()
    app.chooser.picture.value = "plain.png"
    app.wait()
    plain = app.image
    app.chooser.picture.value = "texts.png"
    app.wait()
    assert app.state.picture == "texts.png" and app.message.value == ""
    np.testing.assert_array_equal(app.image, plain)
    check_page(app)


# Titles and legends.


@pytest.mark.parametrize("text", [*HOSTILE.values(), "\0", "\udcff", "_hidden", "a\nb"], ids=ascii)
def test_a_hostile_title_is_drawn_as_text(text):
    picture = np.full((30, 40, 3), 90, np.uint8)
    view = PictureView()
    view.show(picture, picture, [text, "title"], note=visible(text))
    assert view.titles == (visible(text), "title") and not unseen(view.titles[0])
    figure = show_pictures([picture], [text])
    assert figure.axes[0].get_title() == visible(text)
    drawn = cv2.imdecode(np.frombuffer(figure_png(figure), np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape[0] > 30


@pytest.mark.parametrize("text", [*HOSTILE.values(), "\0", "\udcff", "_hidden", "a_1^2"], ids=ascii)
def test_a_hostile_category_is_drawn_as_text_in_a_legend(text):
    picture = np.full((30, 40, 3), 90, np.uint8)
    instances = Instances(
        boxes=np.array([[1, 1, 9, 9]], np.float32),
        labels=np.array([1]),
        scores=np.ones(1, np.float32),
        crops=(np.ones((8, 8), bool),),
        corners=np.array([[1, 1]]),
        indices=np.array([0]),
        image_size=(30, 40),
        categories=("__background__", text),
    )
    figure = show_semantic_map(picture, instances)
    assert figure_png(figure).startswith(b"\x89PNG")
    (legend,) = figure.legends
    assert [label.get_text() for label in legend.get_texts()] == [visible(text)]


# The two functions behind it.


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, $5 & <b>", "plain, $5 & <b>"),
        ("photo_\u202egnp.exe", r"photo_\u202egnp.exe"),
        ("\u200f\u2066\ufeff", r"\u200f\u2066\ufeff"),
        ("a\nb\tc\0", r"a\nb\tc\x00"),
        ("\udcff\u2028", r"\udcff\u2028"),
        ("\U000e0041", r"\U000e0041"),
        ("שלום 漢字 é \U0001f431\u200d\U0001f4bb", "שלום 漢字 é \U0001f431\u200d\U0001f4bb"),
        ("", ""),
    ],
    ids=ascii,
)
def test_only_what_works_unseen_is_shown_as_an_escape(text, shown):
    assert visible(text) == shown
    markup = Markup(as_html(text))
    assert markup.text == shown and not markup.elements
