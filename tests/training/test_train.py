"""Real, small trainings of the shipped model. References: a run that was never stopped, torchvision's own
losses, and files read back by `load_model`."""

import errno
import json
import os
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save
from torchvision.models.detection import maskrcnn_resnet50_fpn_v2
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator

from maskseg_nb import load_model, predict, preprocess
from maskseg_nb._shared import files
from maskseg_nb.data.datasets import PictureList
from maskseg_nb.data.shapes import CATEGORIES, ShapesDataset
from maskseg_nb.data.truth import Truth
from maskseg_nb.errors import DatasetError, TrainingError
from maskseg_nb.models.backbones import parts
from maskseg_nb.models.details import metadata_of
from maskseg_nb.training.augmentation import Augmentation, TrainingPictures
from maskseg_nb.training.fine_tuning import with_categories
from maskseg_nb.training.loop import LOSSES, TrainingState
from maskseg_nb.training.partial_labels import PartialTruth
from maskseg_nb.training.sampling import repeat_factors, seeded
from maskseg_nb.training.saving import _half, save_weights
from maskseg_nb.training.settings import TrainingSettings
from maskseg_nb.training.train import OutOfTime, Progress, Trained, train

DATA = ShapesDataset(12, size=(64, 96))
slow = partial(pytest.param, marks=pytest.mark.slow)


def settings(**changed):
    small = {
        "steps": 5,
        "batch_size": 2,
        "sizes": ((64, 96), (96, 64)),
        "rois": 8,
        "save_every": 2,
        "warm_up": 2,
    }
    return TrainingSettings(**{**small, **changed})


def quietly(progress):
    """A watcher that shows nothing."""


def run(model, folder, dataset=DATA, watch=quietly, **options):
    changed = {
        field.name: options.pop(field.name) for field in fields(TrainingSettings) if field.name in options
    }
    return train(model, dataset, folder, settings(**changed), watch=watch, **options)


@pytest.fixture(scope="module")
def whole(street, tmp_path_factory):
    """A training that was never stopped."""
    return run(
        street, tmp_path_factory.mktemp("whole"), notes="Made by *the tests*.", held_out=ShapesDataset(2, 5)
    )


def states_equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# What comes out


def test_a_training_and_its_progress_are_shown_in_a_line(street):
    losses = np.zeros((2, len(LOSSES)), np.float32)
    assert repr(Trained(street, Path("mine.pth"), losses, None)) == "Trained('mine.pth' after 2 steps)"
    assert repr(Progress(2, 40, losses, street)) == "Progress(step 2 of 40)"


@pytest.mark.slow
def test_the_result_is_what_its_file_holds(whole):
    again = load_model(whole.path)
    assert states_equal(again, whole.model)
    assert again.categories == CATEGORIES and not again.training
    tensor, _ = preprocess(DATA[0][0], size=(64, 96))
    one, other = predict(whole.model, tensor), predict(again, tensor)
    assert np.array_equal(one.scores, other.scores) and np.array_equal(one.mask_probs, other.mask_probs)


def test_losses_are_torchvisions_five_step_by_step(whole):
    assert whole.losses.shape == (5, len(LOSSES)) and whole.losses.dtype == np.float32
    assert np.isfinite(whole.losses).all() and (whole.losses > 0).all(axis=0).all()


def test_the_first_loss_is_torchvisions_own(street, tmp_path, monkeypatch):
    """The same batch through torchvision's forward by hand, with nothing of the training around it."""
    monkeypatch.setattr("maskseg_nb.training.loop.has_native_bfloat16", lambda device: False)
    trained = run(street, tmp_path, steps=1)
    made = settings()
    weights = repeat_factors([truth.labels[truth.areas >= 16] for _, truth in DATA], made.rare)
    batch = [TrainingPictures(DATA, made.sizes, made.augmentation, 2, 0, weights)[n] for n in range(2)]
    with seeded(0, 2):
        model = with_categories(street, CATEGORIES).train()
    model.roi_heads.fg_bg_sampler.batch_size_per_image = 8
    height, width = batch[0][0].shape[1:]
    model.transform.min_size, model.transform.max_size = (min(height, width),), max(height, width)
    with seeded(0, 3, 0):
        losses = model([image for image, _ in batch], [target for _, target in batch])
    expected = [float(losses[name].detach()) for name in LOSSES]
    assert trained.losses[0] == pytest.approx(expected, rel=1e-4)


def test_boxes_keep_their_fractions_of_a_pixel(street, monkeypatch):
    """Under bfloat16 autocast, on any processor: rounded to 8 bits, a box at 300 pixels is off by one."""
    monkeypatch.setattr("maskseg_nb.training.loop.has_native_bfloat16", lambda device: True)
    seen = set()

    def recorded(name):
        plain = getattr(BoxCoder, name)

        def call(self, one, other):
            result = plain(self, one, other)
            parts = [part if isinstance(part, list | tuple) else [part] for part in (one, other, result)]
            seen.update((name, values.dtype) for part in parts for values in part)
            return result

        return call

    for name in ("encode", "decode"):
        monkeypatch.setattr(BoxCoder, name, recorded(name))
    made = settings(sizes=((320, 320),))
    learner = with_categories(street, CATEGORIES).train()
    batch = [TrainingPictures(DATA, made.sizes, Augmentation.none(), 2, 0)[n] for n in range(2)]
    TrainingState(learner, made, len(DATA)).learn_from(batch)
    assert seen == {("encode", torch.float32), ("decode", torch.float32)}


def test_the_model_that_was_given_stays_as_it_is(street, whole):
    assert states_equal(street, load_model("street"))
    assert not street.training and all(p.requires_grad for p in street.parameters())
    assert street.categories == ("__background__", "person", "bicycle", "car", "motorcycle")
    assert street.transform.min_size == load_model("street").transform.min_size


@pytest.mark.slow
def test_it_learns(street, tmp_path):
    """One picture, over and over: the loss has to fall far."""
    one = PictureList([DATA[1]])
    plain = Augmentation.none()
    trained = run(
        street,
        tmp_path,
        one,
        steps=50,
        learning_rate=2e-3,
        augmentation=plain,
        sizes=((64, 96),),
        save_every=100,
    )
    total = trained.losses.sum(axis=1)
    assert total[-10:].mean() < 0.6 * total[:3].mean()


@pytest.mark.slow
def test_frozen_parts_stay_and_all_others_change(street, tmp_path):
    trained = run(street, tmp_path, steps=2, freeze=("stem", "C2", "C3", "rpn"))
    for (name, modules), (_, now) in zip(parts(street).items(), parts(trained.model).items(), strict=True):
        before = torch.cat(
            [p.detach().half().flatten() for m in modules for p in m.parameters() if p.ndim > 1]
        )
        after = torch.cat([p.detach().half().flatten() for m in now for p in m.parameters() if p.ndim > 1])
        if name in ("stem", "C2", "C3", "rpn"):
            assert torch.equal(before, after), name
        else:
            assert before.shape != after.shape or not torch.equal(before, after), name


@pytest.mark.slow
def test_statistics_of_batch_norms_never_change(tmp_path):
    model = maskrcnn_resnet50_fpn_v2(
        weights=None, weights_backbone=None, num_classes=5, min_size=64, max_size=96
    )
    trained = run(model.eval(), tmp_path, steps=1, batch_size=1, freeze=("stem", "C2", "C3", "C4"))
    before, after = model.state_dict(), trained.model.state_dict()
    running = [key for key in before if "running_" in key]
    assert len(running) > 100 and all(torch.equal(before[key], after[key]) for key in running)


@pytest.mark.slow
def test_the_input_size_goes_with_the_weights(street, tmp_path):
    trained = run(street, tmp_path, steps=1, input_size=(96, 160))
    transform = load_model(trained.path).transform
    assert (transform.min_size, transform.max_size) == ((96,), 160)


def test_the_model_card_says_what_happened(whole):
    card = (whole.path.parent / "model.md").read_text()
    instances = sum((truth.areas >= 16).sum() for _, truth in DATA)
    assert "Finds circle, square, triangle, star." in card
    assert "12 pictures, 0 of them with nothing" in card
    counts = [
        int(word.strip("."))
        for word in card.split("instances: ")[1].split("\n")[0].replace(",", "").split()[1::2]
    ]
    assert sum(counts) == instances
    assert "Made by *the tests*." in card
    assert str(whole.evaluation) in card
    for fact in (
        "| steps | 5 |",
        "| seed | 0 |",
        f"torch {torch.__version__}",
        f"{whole.losses.sum(axis=1).mean():.3f}",
    ):
        assert fact in card


def test_nothing_else_is_left_in_the_folder(whole):
    assert sorted(os.listdir(whole.path.parent)) == [
        "checkpoint.safetensors",
        "model.md",
        "model.safetensors",
    ]


@pytest.mark.slow
def test_watchers_see_every_step(street, tmp_path):
    seen = []
    trained = run(street, tmp_path, watch=seen.append)
    assert [progress.step for progress in seen] == [1, 2, 3, 4, 5]
    assert {progress.steps for progress in seen} == {5}
    assert np.array_equal(seen[-1].losses, trained.losses) and len(seen[1].losses) == 2
    assert not seen[0].model.training


@pytest.mark.slow
def test_without_a_watcher_there_is_a_bar(street, tmp_path, capfd):
    run(street, tmp_path, watch=None, steps=1)
    assert "Training: 100%" in capfd.readouterr().err


@pytest.mark.slow
def test_equal_trainings_give_equal_files_to_the_byte(street, tmp_path, whole):
    """With a validation set or without, and resumed: all but the model card says the same."""

    def interrupt(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    run(street, tmp_path / "again")
    with pytest.raises(KeyboardInterrupt):
        run(street, tmp_path / "resumed", watch=interrupt)
    run(street, tmp_path / "resumed")
    for name in ("model.safetensors", "checkpoint.safetensors"):
        expected = (whole.path.parent / name).read_bytes()
        assert (tmp_path / "again" / name).read_bytes() == expected
        assert (tmp_path / "resumed" / name).read_bytes() == expected
    cards = [(tmp_path / folder / "model.md").read_text() for folder in ("again", "resumed")]
    assert cards[0] == cards[1]


def test_a_file_is_what_safetensors_writes_with_its_metadata_sorted(street, tmp_path):
    street.categories, before = ("__background__", '自"転\\車', "ü", "car", "/"), street.categories
    try:
        files = {save_weights(street, tmp_path).read_bytes() for _ in range(8)}
        said = metadata_of(street)
    finally:
        street.categories = before
    (data,) = files
    plain = save({name: _half(value).contiguous() for name, value in street.state_dict().items()}, said)
    length, tensors = int.from_bytes(data[:8], "little"), len(data) - len(plain)
    assert tensors == 0 and data[8 + length :] == plain[8 + length :] and length % 8 == 0
    assert json.loads(data[8 : 8 + length]) == json.loads(plain[8 : 8 + length])
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == said


@pytest.mark.slow
def test_workers_change_nothing(street, tmp_path, whole):
    assert np.array_equal(run(street, tmp_path, workers=1).losses, whole.losses)


@pytest.mark.slow
def test_workers_need_few_open_files(street, tmp_path):
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as lowest_free:
        allowed = lowest_free.fileno() + 60
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    try:
        assert len(run(street, tmp_path, workers=2, batch_size=6, steps=4).losses) == 4
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Interrupted and resumed


@pytest.mark.parametrize("step", [1, *(slow(step) for step in (2, 3, 4))])
def test_an_interrupted_training_resumes_to_the_same_losses(street, tmp_path, whole, capsys, step):
    def interrupt(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(street, tmp_path, watch=interrupt)
    saved = step // 2 * 2
    assert f"Stopped after step {step}; the same call resumes after step {saved}." in capsys.readouterr().out
    steps = []
    resumed = run(street, tmp_path, watch=lambda progress: steps.append(progress.step))
    assert steps == list(range(saved + 1, 6))
    assert np.array_equal(resumed.losses, whole.losses)
    assert states_equal(resumed.model, whole.model)


@pytest.mark.slow
def test_an_interrupt_in_the_middle_of_a_step_resumes_to_the_same_losses(
    street, tmp_path, whole, monkeypatch
):
    """Between the new weights and their average: the worst moment."""
    average, calls = TrainingState._average, []

    def interrupt(self, *arguments):
        calls.append(self.step)
        if calls.count(3) == 50:
            raise KeyboardInterrupt
        return average(self, *arguments)

    monkeypatch.setattr(TrainingState, "_average", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(street, tmp_path)
    monkeypatch.undo()
    resumed = run(street, tmp_path)
    assert np.array_equal(resumed.losses, whole.losses)
    assert states_equal(resumed.model, whole.model)


@pytest.mark.slow
def test_a_finished_training_is_only_written_again(street, tmp_path, whole):
    first = run(street, tmp_path)
    steps = []
    again = run(street, tmp_path, watch=steps.append)
    assert steps == []
    assert states_equal(first.model, again.model) and np.array_equal(again.losses, whole.losses)


@pytest.mark.slow
def test_resume_false_starts_from_scratch(street, tmp_path, whole):
    run(street, tmp_path, steps=2, seed=7)
    again = run(street, tmp_path, resume=False)
    assert np.array_equal(again.losses, whole.losses)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"learning_rate": 1e-3}, "learning_rate 0.0008 instead of 0.001"),
        slow({"seed": 1}, "settings.seed 0 instead of 1"),
        slow({"dataset": ShapesDataset(13, size=(64, 96))}, "pictures 12 instead of 13"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_and_kept(street, tmp_path, changed, said):
    run(street, tmp_path, steps=2)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(
        TrainingError, match=f"{said}.*; give another folder, or start from scratch with resume=False"
    ):
        run(street, tmp_path, **{"steps": 2, **changed})
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("damage", [None, b"", b"nonsense"])
def test_a_damaged_checkpoint_is_one_clear_error(street, tmp_path, damage):
    run(street, tmp_path, steps=1)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-5000] if damage is None else damage)
    with pytest.raises(
        TrainingError, match="not a whole safetensors file.*start from scratch with resume=False"
    ):
        run(street, tmp_path, steps=1)
    assert len(run(street, tmp_path, steps=1, resume=False).losses) == 1


@pytest.mark.slow
def test_a_training_whose_minutes_are_over_saves_and_resumes_to_the_same_losses(street, tmp_path, whole):
    for step in (1, 2, 3, 4):
        with pytest.raises(OutOfTime, match=f"over after step {step} of 5; .* the same call resumes"):
            run(street, tmp_path, minutes=0)
        assert os.listdir(tmp_path) == ["checkpoint.safetensors"]
    resumed = run(street, tmp_path, minutes=0)  # the last step is worth its seconds
    assert np.array_equal(resumed.losses, whole.losses)
    assert states_equal(resumed.model, whole.model)


# What can go wrong


@pytest.mark.slow
def test_a_full_disk_leaves_the_checkpoint_before(street, tmp_path, monkeypatch, whole):
    def full(path, whole_file=files.whole_file):
        written.append(path.name)
        if len(written) == 2:
            monkeypatch.setattr(os, "fsync", no_space)
        return whole_file(path)

    def no_space(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    written = []
    monkeypatch.setattr("maskseg_nb.training.saving.whole_file", full)
    with pytest.raises(
        TrainingError, match="checkpoint.safetensors' cannot be written: No space left on device"
    ):
        run(street, tmp_path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["checkpoint.safetensors"]  # no partial file
    steps = []
    resumed = run(street, tmp_path, watch=lambda progress: steps.append(progress.step))
    assert steps == [3, 4, 5]
    assert np.array_equal(resumed.losses, whole.losses)


def test_a_folder_in_the_way_is_one_clear_error(street, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        TrainingError, match="cannot be written: File exists; make room, or give another folder"
    ):
        run(street, tmp_path / "file")


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_weights(street, tmp_path):
    def spoil(progress):
        if progress.step == 3:
            learner = spoil.run.learner
            learner.roi_heads.box_predictor.cls_score.weight.data.fill_(float("nan"))

    def catch(self, *arguments, make=TrainingState.__init__):
        make(self, *arguments)
        spoil.run = self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingState, "__init__", catch)
        with pytest.raises(
            TrainingError, match="loss_classifier.* is not finite in step 4.*lower learning_rate"
        ):
            run(street, tmp_path, watch=spoil)
    assert os.listdir(tmp_path) == ["checkpoint.safetensors"]
    state = (tmp_path / "checkpoint.safetensors").stat().st_size
    assert state > 1e6
    assert len(run(street, tmp_path).losses) == 5  # resumes from step 2


@pytest.mark.slow
def test_a_rate_far_too_high_ends_in_that_error_or_in_finite_weights(street, tmp_path):
    try:
        trained = run(street, tmp_path, learning_rate=1e4, steps=4, clip=1e9)
    except TrainingError as error:
        assert "not finite" in str(error)
    else:
        assert all(torch.isfinite(p).all() for p in trained.model.parameters())


def empty(**changed):
    image, truth = DATA[0]
    return PictureList([(image, Truth(**{**vars(truth.only([])), **changed}))])


def crowds():
    image, truth = DATA[0]
    return PictureList([(image, Truth(**{**vars(truth), "crowd": np.ones(len(truth), bool)}))])


def dots():
    image, _ = DATA[0]
    masks = np.zeros((2, 64, 96), bool)
    masks[0, 3, 3] = masks[1, 60, 90] = True
    return PictureList([(image, Truth.from_masks(masks, [1, 2], CATEGORIES))])


@pytest.mark.parametrize(
    "dataset", [empty(), crowds(), dots()], ids=["no masks", "all crowd", "single pixels"]
)
def test_nothing_to_learn_from_is_one_clear_error(street, tmp_path, dataset):
    with pytest.raises(
        DatasetError, match="1 pictures and nothing to learn from: no instance of at least 16"
    ):
        run(street, tmp_path / "out", dataset)
    assert not (tmp_path / "out").exists()


def test_where_all_are_crowds_the_error_says_how_many(street, tmp_path):
    with pytest.raises(
        DatasetError, match=r"\(\d are crowds: set iscrowd to 0 where one is a single object\)"
    ):
        run(street, tmp_path, crowds())


def test_an_empty_dataset_is_one_clear_error(street, tmp_path):
    with pytest.raises(DatasetError, match="the dataset has no pictures"):
        run(street, tmp_path / "out", ShapesDataset(0))
    assert not (tmp_path / "out").exists()


def floats():
    image, truth = DATA[0]
    return PictureList([DATA[1], (image.astype(np.float32) / 255, truth)])


def other_names():
    image, truth = DATA[0]
    return PictureList([(image, Truth(**{**vars(truth), "categories": ("__background__", *"abcd")}))])


@pytest.mark.parametrize(
    "held_out, error, said",
    [
        (floats(), TypeError, "picture 1: image must be uint8"),
        (other_names(), DatasetError, "no category of the model"),
        (crowds(), DatasetError, "nothing in the dataset counts"),
        (PictureList([DATA[1], DATA[1]]), DatasetError, "2 pictures have the number 1"),
    ],
    ids=["floats", "other categories", "all crowd", "one number twice"],
)
def test_the_validation_set_is_checked_before_the_first_step(street, tmp_path, held_out, error, said):
    steps = []
    with pytest.raises(error, match=said):
        run(street, tmp_path / "out", held_out=held_out, watch=steps.append)
    assert steps == [] and not (tmp_path / "out").exists()


def renamed(name):
    image, truth = DATA[0]
    names = (*CATEGORIES[:4], name)
    return PictureList([(image, Truth(**{**vars(truth), "categories": names}))])


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", " ", "\u200b", CATEGORIES[1]])
def test_category_names_that_could_not_be_loaded_again_are_refused_before_the_first_step(
    street, tmp_path, name
):
    steps = []
    with pytest.raises(DatasetError, match="the dataset's categories must have"):
        run(street, tmp_path / "out", renamed(name), watch=steps.append)
    assert steps == [] and not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["\U0001f6b2" * 100, "x" * 100, '["\\"]', "a,b", "N/A"])
def test_category_names_of_any_readable_kind_are_loaded_again(street, tmp_path, name):
    trained = run(street, tmp_path, renamed(name), steps=1)
    assert load_model(trained.path).categories == (*CATEGORIES[:4], name)
    run(street, tmp_path, renamed(name), steps=1)  # and are in the checkpoint, too


def odd(part, value):
    """The shipped model with something that its file cannot say, or that load_model would not take."""
    model = load_model("street")
    if part == "anchors":
        value = AnchorGenerator(((value,),) * 5, model.rpn.anchor_generator.aspect_ratios).eval()
        model.rpn.anchor_generator = value
    else:
        model.transform.max_size = 6000
        setattr(model.transform, part, value)
    return model


@pytest.mark.parametrize(
    "part, value, said",
    [
        ("min_size", (5000,), "min_size and max_size must be from 32 to 4096"),
        ("min_size", (16,), "min_size and max_size must be from 32 to 4096"),
        ("min_size", (320.5,), "invalid literal for int"),
        ("anchors", 10**6, "anchors must be numbers above 0, at most 4096"),
    ],
)
def test_a_model_that_could_not_be_loaded_again_is_refused_before_the_first_step(tmp_path, part, value, said):
    steps = []
    with pytest.raises(
        TrainingError, match=f"load_model could not read what would come out.*{said}"
    ) as caught:
        run(odd(part, value), tmp_path, watch=steps.append)
    assert steps == [] and os.listdir(tmp_path) == [] and len(str(caught.value)) <= 300


@pytest.mark.slow
def test_grey_and_transparent_pictures_are_learned_from_as_rgb(street, tmp_path):
    def losses(name, *images):
        truths = [truth for _, truth in (DATA[0], DATA[1])]
        pictures = PictureList(list(zip(images, truths, strict=True)))
        return run(street, tmp_path / name, pictures, steps=1, held_out=pictures).losses

    grey = [image[..., 0] for image, _ in (DATA[0], DATA[1])]
    expected = losses("rgb", *(np.stack([image] * 3, axis=-1) for image in grey))
    opaque = np.full(grey[0].shape, 255, np.uint8)
    assert np.array_equal(losses("grey", grey[0], grey[1][..., None]), expected)
    assert np.array_equal(losses("rgba", *(np.stack([g, g, g, opaque], axis=-1) for g in grey)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_second_training_in_the_folder_is_one_clear_error_and_harms_nothing(
    street, tmp_path, whole, workers
):
    def start_another(progress):
        for changed in ({}, {"seed": 1}, {"resume": False}):
            with pytest.raises(TrainingError, match="another training is writing into .*; wait for it"):
                run(street, tmp_path, **changed)

    trained = run(street, tmp_path, watch=start_another, workers=workers)
    assert np.array_equal(trained.losses, whole.losses) and states_equal(trained.model, whole.model)


@pytest.mark.slow
def test_pictures_with_nothing_in_them_are_learned_from_beside_others(street, tmp_path):
    """All crops of the first steps may well be empty: torchvision's losses then stay finite."""
    image, truth = DATA[0]
    mostly_empty = PictureList([DATA[1], *[(image, truth.only([]))] * 8])
    plain = Augmentation(mosaic=0, paste=0)
    assert np.isfinite(run(street, tmp_path, mostly_empty, augmentation=plain).losses).all()


def partly(annotated):
    """A picture in which the other categories may be anywhere."""
    image, truth = DATA[0]
    missing = [name not in annotated for name in CATEGORIES]
    known = replace(
        PartialTruth.of(truth),
        doubts=np.array([[0.0, 0, 96, 64]]),
        doubted=np.array([[False, *missing[1:]]]),
        limits=np.array([np.inf]),
    )
    return image, known


@pytest.mark.slow
def test_partially_labelled_pictures_are_learned_from_with_their_doubts(street, tmp_path):
    """Through all that is between a dataset and the losses: a doubted category is not learned as absent."""

    def losses(name, *annotated):
        pictures = PictureList([partly(annotated)] if annotated else [DATA[0]])
        options = {"augmentation": Augmentation.none(), "sizes": ((64, 96),), "steps": 1, "rois": 64}
        return dict(zip(LOSSES, run(street, tmp_path / name, pictures, **options).losses[0], strict=True))

    complete, part = losses("complete"), losses("part", CATEGORIES[1])
    assert part["loss_classifier"] < complete["loss_classifier"]
    assert part["loss_objectness"] > 2 * complete["loss_objectness"]  # of the positive anchors alone
    assert part["loss_box_reg"] == pytest.approx(complete["loss_box_reg"], rel=1e-3)


@pytest.mark.slow
def test_weights_decide_which_pictures_are_learned_from_and_belong_to_the_training(street, tmp_path):
    one, other = PictureList([DATA[1]]), PictureList([DATA[0], DATA[1], DATA[2]])
    options = {"steps": 1, "augmentation": Augmentation.none(), "sizes": ((64, 96),)}
    alone = run(street, tmp_path / "one", one, **options)
    drawn = run(street, tmp_path / "other", other, weights=np.array([0, 0.5, 0]), **options)
    assert np.array_equal(alone.losses, drawn.losses)
    with pytest.raises(TrainingError, match="weights .* instead of .*; give another folder"):
        run(street, tmp_path / "other", other, weights=np.array([0, 0.5, 1]), **options)


@pytest.mark.parametrize("weights", [[1, 2], [[1] * 12], [0] * 12, [-1] + [1] * 11, [np.nan] + [1] * 11])
def test_weights_out_of_range_are_a_value_error(street, tmp_path, weights):
    with pytest.raises(ValueError, match="weights must be 12 numbers from 0 on, not all of them 0"):
        run(street, tmp_path / "out", weights=np.array(weights))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_limit_for_the_mask_head_belongs_to_the_training(street, tmp_path, whole):
    limited = run(street, tmp_path, steps=1, mask_rois=1)
    assert "| mask_rois | 1 |" in (tmp_path / "model.md").read_text()
    assert "mask_rois" not in (whole.path.parent / "model.md").read_text()
    assert limited.losses[0, 2] == pytest.approx(whole.losses[0, 2], rel=1e-2)
    with pytest.raises(TrainingError, match="mask_rois 1 instead of None"):
        run(street, tmp_path, steps=1)


@pytest.mark.slow
def test_categories_without_instances_are_no_trouble(street, tmp_path):
    image, truth = DATA[0]
    gaps = ("__background__", "never", *CATEGORIES[1:], "nor this")
    shifted = Truth(**{**vars(truth), "labels": truth.labels + 1, "categories": gaps})
    trained = run(street, tmp_path, PictureList([(image, shifted)]), steps=1)
    assert trained.model.categories == gaps


@pytest.mark.parametrize(
    "changed",
    [
        {"steps": 0}, {"steps": 2.5}, {"batch_size": 0}, {"rois": -1}, {"mask_rois": 0}, {"save_every": 0},
        {"warm_up": -1},
        {"learning_rate": 0}, {"learning_rate": float("nan")}, {"clip": float("inf")}, {"rare": 0},
        {"ema": 1.0}, {"sizes": ((64, 100),)}, {"sizes": ((32, 64),)}, {"input_size": (160, 96)},
        {"input_size": (1, 96)},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_a_value_error_that_names_them(changed):
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name} must"):
        TrainingSettings(**changed)


def test_the_rate_rises_then_falls_as_a_cosine():
    made = TrainingSettings(steps=100, warm_up=10)
    rates = [made.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx(
        [(n + 1) / 10 * (0.5 + 0.5 * np.cos(np.pi * n / 100)) for n in range(10)]
    )
    assert rates[50] == pytest.approx(0.5)
    assert rates[9:] == sorted(rates[9:], reverse=True) and rates[-1] == 0.01


def test_another_class_of_model_is_a_type_error(tmp_path):
    with pytest.raises(TypeError, match="MaskRCNN"):
        run(torch.nn.Conv2d(3, 3, 3), tmp_path)


@pytest.mark.slow
def test_too_little_memory_is_a_training_error_and_the_last_checkpoint_stays(
    street, whole, tmp_path, monkeypatch
):
    real, taken = TrainingState.learn_from, []

    def lacking(self, batch):
        taken.append(batch)
        if len(taken) == 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "learn_from", lacking)
        with pytest.raises(TrainingError, match="not enough memory to train; lower batch_size"):
            run(street, tmp_path)
    steps = []
    again = run(street, tmp_path, watch=lambda progress: steps.append(progress.step))
    assert steps == [3, 4, 5]  # it resumed after the checkpoint of step 2
    assert np.array_equal(again.losses, whole.losses)
