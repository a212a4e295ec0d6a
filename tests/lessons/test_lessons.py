import inspect
import linecache
import re
import threading

import numpy as np
import pytest
import torch

from maskseg_nb.lessons import answer, check, describe, solutions, watching
from maskseg_nb.lessons.answers import ANSWERS
from maskseg_nb.lessons.checking import EXERCISES
from maskseg_nb.lessons.solutions import decode, iou, judge, label_map, nms, overlay


def test_describe_prints_name_shape_dtype_and_range(capsys):
    describe(
        image=np.array([[[3, 200, 7]]], np.uint8), tensor=torch.tensor([-0.5, 0.25]), none=np.zeros((0, 2))
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["image", "(1,", "1,", "3)", "uint8", "3", "to", "200"]
    assert lines[1] == ["tensor", "(2,)", "float32", "-0.5", "to", "0.25"]
    assert lines[2] == ["none", "(0,", "2)", "float64", "empty"]


# Wrong answers, by the usual mistakes.


def judge_by_best_pair(ious, iou):
    return [bool(len(row)) and row.max() >= iou and row.max() == ious[:, row.argmax()].max() for row in ious]


def average_precision(right, objects):
    points = [(sum(right[:k]) / objects, sum(right[:k]) / k) for k in range(1, len(right) + 1)]
    steps = np.linspace(0, 1, 101)
    return np.mean([max((p for r, p in points if r >= step), default=0) for step in steps])


def average_precision_without_envelope(right, objects):
    return sum(sum(right[:k]) / k for k in range(1, len(right) + 1) if right[k - 1]) / objects


def iou_without_floor(a, b):
    overlap = (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def nms_by_all_better(boxes, scores, nms_threshold):
    order = np.argsort(-scores)
    overlaps = [[iou(boxes[i], boxes[j]) for j in order[:n]] for n, i in enumerate(order)]
    return [i for i, row in zip(order, overlaps, strict=True) if all(o <= nms_threshold for o in row)]


def nms_or_equal(boxes, scores, nms_threshold):
    return nms(boxes, scores, nms_threshold - 1e-9)


def overlay_into_the_image(image, masks, alpha):
    for mask in masks:
        image[mask > 0.5] = 255
    return image


def keeps_between_calls(ious, iou, right=[]):  # noqa: B006 the mistake
    right += judge(ious, iou)
    return list(right)


# As a notebook's cell: its lines are found by its name.
CELL = "def fails_in_line_two(a, b, zero=0):\n    return a[0] / [zero]\n"
linecache.cache["<cell>"] = (len(CELL), None, CELL.splitlines(keepends=True), "<cell>")
cell: dict = {}
exec(compile(CELL, "<cell>", "exec"), cell)

# name, a wrong answer, what is said about it
WRONG = [
    ("to_rgb", lambda bgr: bgr, "expected [[[ 0, 0, 255]]], got [[[255, 0, 0]]]"),
    ("to_rgb", lambda bgr: bgr[::-1].astype(float), "expected uint8, got float64"),
    ("to_rgb", lambda bgr: None, "got None; end the function with return and the result"),
    ("to_rgb", lambda bgr: [[1], [2, 3]], "got [[1], [2, 3]], whose rows differ in length"),
    ("keep", lambda scores, threshold: np.where(scores > threshold)[0], "scores = [0.5]"),
    ("keep", lambda scores, threshold: scores >= threshold, "expected [0], got [ True]"),
    ("overlay", overlay_into_the_image, "it changed image, its own argument"),
    ("overlay", lambda image, masks, alpha: overlay(image, masks + 0.01, alpha), "masks = [[[0.5 , 0.51]]]"),
    ("iou", iou_without_floor, "b = [4., 4., 6., 6.]"),
    ("nms", nms_by_all_better, "expected shape (2,), [0, 2], got (1,), [0]"),
    ("nms", nms_or_equal, "nms_threshold = 0.3333333333333333"),
    ("nms", lambda *_: 1 / 0, "but it raised ZeroDivisionError: division by zero"),
    (
        "decode",
        lambda anchor, deltas: decode(anchor, np.minimum(deltas, 0.1)),
        "deltas = [0.5, 0. , 0. , 0. ]",
    ),
    ("paste", lambda probs, box, height, width: probs, "expected shape (1, 2)"),
    ("mask_iou", lambda a, b: (a & b).sum() / a.sum(), "b = [[ True, True]]"),
    ("label_map", lambda masks: label_map(masks[::-1]), "expected [[1, 2]], got [[1, 1]]"),
    ("polygon_area", lambda corners: np.ptp(corners, axis=0).prod(), "expected 2., got 4."),
    ("rate", lambda *given: np.round(solutions.rate(*given), 2), "expected 0.854, got 0.85; do not round"),
    ("keep", lambda scores, threshold: print(scores >= threshold), "return and the result instead of print"),
    ("keep", lambda scores, threshold: print(scores >= threshold), "it printed: [ True]"),
    ("keep", lambda scores: scores, "but it takes scores; it must take the 2 above, in this order"),
    ("keep", lambda scores, threshold: (row for row in [0]), "got a generator; return a list or an array"),
    ("keep", lambda scores, threshold: {0}, "got a set; return a list or an array"),
    ("keep", lambda scores, threshold: scores.max, "got a function; call it, with () and its arguments"),
    ("iou", lambda a, b: "1", "got '1' as text; return numbers"),
    ("iou", lambda a, b: torch.tensor(0.5, requires_grad=True), "expected 1., got 0.5"),
    ("iou", lambda a, b: np.float64("nan"), "got nan; nan comes from 0 / 0"),
    ("iou", lambda a, b: exit(), "but it raised SystemExit: None"),
    ("iou", cell["fails_in_line_two"], "    in line 2 of the cell: return a[0] / [zero]"),
    ("judge", keeps_between_calls, "its default values were ([],) and are now ([True, True],)"),
    (
        "paste",
        lambda *given: solutions.paste(*given).T,
        "got (2, 1), [[1.], [0.]]; rows and columns are swapped",
    ),
    ("machines_for", lambda pictures, rate, hours: pictures // (rate * hours * 3600), "expected 2., got 1."),
    ("judge", judge_by_best_pair, "expected [ True, False], got [False, True]"),
    ("judge", lambda ious, iou: judge(ious, iou + 1e-9), "ious = [[0.5]]"),
    ("average_precision", average_precision_without_envelope, "right = [ True]\n    objects = 2"),
    ("rate", lambda step, steps, warm_up: 1 - step / steps, "expected 0.854, got 0.75"),
]


def test_every_exercise_has_a_solution_and_a_wrong_answer_here():
    written = {name for name, value in vars(solutions).items() if inspect.isfunction(value)}
    assert written == set(EXERCISES) == {name for name, *_ in WRONG}


@pytest.mark.parametrize("name", EXERCISES)
def test_a_solution_is_called_right(name, capsys):
    check(name, getattr(solutions, name))
    count = len(list(EXERCISES[name].cases()))
    assert capsys.readouterr().out == f"{name}: right, in all {count} cases\n"


@pytest.mark.parametrize(("name", "answer", "said"), WRONG)
def test_a_wrong_answer_is_shown_the_smallest_case_and_a_hint(name, answer, said, capsys):
    check(name, answer)
    out = capsys.readouterr().out
    assert out.startswith(f"{name}: not yet. The smallest case that fails:\n")
    assert said in out and f"Hint: {EXERCISES[name].hint}" in out
    assert max(map(len, out.splitlines())) < 320


def never_ends(a, b):
    while True:
        pass


def test_an_endless_loop_is_stopped_and_named(capsys, monkeypatch):
    monkeypatch.setattr(watching, "SECONDS", 0.1)
    check("iou", never_ends)
    out = capsys.readouterr().out
    assert "but it did not end within 0.1 seconds; does every loop come to an end?\n" in out
    assert "exercise" not in {thread.name for thread in threading.enumerate()}


def test_of_a_loop_that_cannot_be_stopped_check_says_so_and_goes_on(capsys, monkeypatch):
    over = threading.Event()

    def catches_everything(a, b):
        while not over.is_set():
            try:
                while not over.is_set():
                    pass
            except:  # noqa: E722 the mistake
                pass

    monkeypatch.setattr(watching, "SECONDS", 0.1)
    try:
        check("iou", catches_everything)
        assert (
            "it is still running, since it catches everything: restart the kernel" in capsys.readouterr().out
        )
    finally:
        over.set()


def test_a_right_answer_that_prints_on_its_way_is_right(capsys):
    def chatty(scores, threshold):
        print("here")
        return solutions.keep(scores, threshold)

    check("keep", chatty)
    assert capsys.readouterr().out.startswith("keep: right")


def test_a_builtin_function_without_a_signature_is_tried_too(capsys):
    check("keep", max)
    assert "keep: not yet" in capsys.readouterr().out


@pytest.mark.parametrize("name", EXERCISES)
def test_the_smallest_case_comes_first(name):
    sizes = [sum(np.size(argument) for argument in case) for case in EXERCISES[name].cases()]
    assert sizes[0] < 12  # numbers that a person can take in
    assert sizes[-1] == max(sizes)


def test_an_unknown_exercise_and_what_is_no_function_are_refused():
    with pytest.raises(ValueError, match=r"one of to_rgb, .*, got 'iuo'; did you mean 'iou'\?"):
        check("iuo", iou)
    with pytest.raises(TypeError, match="function must be a function, got int"):
        check("iou", 7)
    with pytest.raises(ValueError, match=r"exercise must be one of to_rgb, .*, 00\.1, .*, got '09\.1'"):
        answer("09.1")


def test_answer_prints_a_solution_as_it_stands_in_its_file(capsys):
    answer("keep")
    printed = capsys.readouterr().out
    assert printed == "def keep(scores, threshold):\n    return np.flatnonzero(scores >= threshold)\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_a_few_lines_of_text_with_its_numbers_filled_in(name, capsys):
    answer(name)
    printed = capsys.readouterr().out
    assert 100 < len(printed) < 1500
    assert max(map(len, printed.splitlines())) <= 100
    assert not re.search(r"\bnan\b|np\.(float|int)|\{\w", printed)


@pytest.mark.slow
def test_an_answers_numbers_are_counted_not_typed(prediction, capsys):
    answer("01.5")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  restaurant")]
    assert line.split()[1:] == [str((prediction.scores >= t).sum()) for t in (0.1, 0.3, 0.5, 0.7, 0.9)]
    answer("00.1")
    names = [prediction.categories[label] for label in prediction.labels[prediction.scores >= 0.95]]
    assert f"At 0.95: {names.count('person')} person" in capsys.readouterr().out
