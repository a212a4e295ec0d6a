"""The figure is read back; the reference is counting the rows of the table."""

import csv
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from maskseg_nb import figure_png, load_image, sample_photo, segment_pictures, show_folder
from maskseg_nb.errors import MasksegError
from maskseg_nb.results.figures import show_four_questions
from predictions import made_up


@pytest.fixture(scope="module")
def result(street, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    image = load_image(sample_photo("restaurant"))
    for number in range(4):
        Image.fromarray(image[:, 60 * number :]).save(folder / f"${number}.png")
    (folder / "broken.png").write_bytes(b"no")
    out = tmp_path_factory.mktemp("out") / "out"
    return segment_pictures(sorted(folder.iterdir()), out, street, progress=False)


@pytest.fixture(scope="module")
def rows(result):
    with open(result.out / "instances.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.slow
def test_bars_count_instances_the_most_frequent_first(result, rows):
    axis = show_folder(result).axes[0]
    counts = Counter(row["category"] for row in rows)
    assert [bar.get_width() for bar in axis.patches] == sorted(counts.values(), reverse=True)
    named = [label.get_text() for label in axis.get_yticklabels()]
    assert {name: bar.get_width() for name, bar in zip(named, axis.patches, strict=True)} == dict(counts)


@pytest.mark.slow
def test_the_histogram_holds_every_score(result, rows):
    axis = show_folder(result).axes[2]
    expected, _ = np.histogram([float(row["score"]) for row in rows], 20, (0, 1))
    assert [bar.get_height() for bar in axis.patches] == expected.tolist()


@pytest.mark.slow
def test_the_pictures_with_the_highest_and_lowest_mean_scores_are_named_in_order(result, rows):
    means = {}
    for row in rows:
        means.setdefault(row["file"], []).append(float(row["score"]))
    ranked = sorted(((np.mean(scores), name) for name, scores in means.items()), reverse=True)
    titles = [axis.get_title() for axis in show_folder(result).axes[3:]]
    assert titles[:3] == [f"highest mean score: {mean:.2f}\n{name}" for mean, name in ranked[:3]]
    assert titles[3:] == [f"lowest mean score: {mean:.2f}\n{name}" for mean, name in ranked[::-1][:3]]


@pytest.mark.slow
def test_pictures_are_shown_as_they_were_drawn(result):
    figure = show_folder(result)
    name = figure.axes[3].get_title().split("\n")[1]
    shown = figure.axes[3].images[0].get_array()
    overlay = load_image(next(result.out.glob(f"*{name[1:]}*.overlay.png")))
    step = max(overlay.shape) // 360
    assert np.array_equal(shown, overlay[::step, ::step])
    assert figure._suptitle.get_text() == "5 pictures, 1 failed"
    assert len(figure_png(figure)) > 50_000


def test_nothing_found_anywhere_is_one_clear_error(street, tmp_path):
    Image.new("RGB", (60, 40), (128, 128, 128)).save(tmp_path / "grey.png")
    result = segment_pictures([tmp_path / "grey.png"], tmp_path / "out", street, progress=False)
    with pytest.raises(MasksegError, match="nothing was found in any picture; lower the score threshold"):
        show_folder(result)


def test_four_questions_have_one_answer_each(restaurant, prediction):
    _, image = restaurant
    instances = prediction.select(score_threshold=0.5)
    figure = show_four_questions(image, instances)
    names = [axis.get_title().split("?")[0] for axis in figure.axes]
    assert names == ["What", "Where", "Which pixels", "Whose pixels"]
    pictures = [np.asarray(axis.images[0].get_array()) for axis in figure.axes]
    inside = instances.masks.any(axis=0)
    assert np.array_equal(pictures[2][~inside], image[~inside])
    assert np.array_equal(pictures[3][~inside], image[~inside])
    name, count = Counter(instances.names).most_common(1)[0]
    same = instances.masks[[own == name for own in instances.names]].sum(axis=0) == 1
    grey = np.full_like(image, 90)
    semantic, whose = (
        np.asarray(axis.images[0].get_array()) for axis in show_four_questions(grey, instances).axes[2:]
    )
    alone = same & (instances.masks.sum(axis=0) == 1)
    assert len(np.unique(semantic[alone], axis=0)) == 1  # one category: one colour
    assert len(np.unique(whose[alone], axis=0)) == count  # as many as there are
    assert f"{count} x {name}" in figure.axes[3].get_title()


def test_where_nothing_is_found_four_questions_say_so(nothing):
    image = nothing[1]
    figure = show_four_questions(image, made_up(0, (800, 800)).select())
    assert figure.axes[3].get_title() == "Whose pixels? Instances: nothing" and not figure.legends
