"""The COCO models are compared with torchvision's own loading, of random weights from a loopback server."""

import functools
import hashlib
import http.server
import os
import re
import socket
import threading
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision.models.detection import (
    MaskRCNN,
    MaskRCNN_ResNet50_FPN_V2_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.ops import FrozenBatchNorm2d

from maskseg_nb import MODELS, ModelError, load_model, predict, preprocess, sample_photo
from maskseg_nb.models.checkpoints import read_state
from maskseg_nb.models.download import Download
from maskseg_nb.models.loading import MODEL_VARIABLE, as_model
from maskseg_nb.models.street import street as build_street
from maskseg_nb.models.zoo import categories_of, prime_roi_pools, shipped_weights
from published_models import as_in_2019, as_in_2022

# The outline of the woman in skimage's astronaut.png: hair, neck, collar ring, suit and both sleeves, without
# the helmet in front of her. Drawn by hand on an enlarged print of the photo; x, y in its 512 x 512 pixels.
ASTRONAUT = [
    *[(232, 15), (255, 20), (277, 30), (291, 45), (297, 66), (301, 87), (298, 105), (287, 123)],  # hair
    *[(273, 136), (266, 136), (262, 152), (256, 169), (256, 174)],  # ear, jaw, neck
    *[(274, 187), (291, 206), (302, 227), (306, 239)],  # collar ring
    *[(323, 251), (340, 267), (349, 284), (355, 300), (360, 328), (363, 350)],  # shoulder and sleeve
    *[(347, 354), (328, 366), (309, 384), (295, 405), (285, 427), (279, 450), (277, 473)],  # along the helmet
    *[(281, 492), (287, 511), (37, 511), (30, 480), (24, 450), (19, 413), (23, 375), (26, 338)],
    *[(33, 312), (40, 291), (49, 267), (63, 244), (84, 227), (113, 207)],  # the other sleeve and shoulder
    *[(113, 192), (129, 169), (145, 154), (164, 148), (183, 150)],  # collar ring
    *[(184, 145), (180, 130), (171, 127), (162, 110), (156, 94), (154, 70), (162, 52), (183, 38)],
    *[(202, 22), (218, 17)],
]
# The corners of the motorcycle's box in skimage's motorcycle_left.png, read off the same way.
MOTORCYCLE = (91, 40, 684, 452)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def no_network(tmp_path, monkeypatch):
    """An empty cache, no proxy, and weights that would come from a loopback port where nothing listens."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("coco", "coco_v2"):
        publish_at(f"http://127.0.0.1:{port}", name, monkeypatch)


def official_name(name):
    return MODELS[name].download.path.name


def publish_at(address, name, monkeypatch):
    """Let a model of the table be downloaded from another address."""
    known = MODELS[name]
    download = Download(f"{address}/{official_name(name)}", known.download.sha256_prefix)
    monkeypatch.setitem(MODELS, name, replace(known, download=download))


@functools.cache
def photo():
    return preprocess(sample_photo("astronaut"), size=(320, 320))[0]


def iou(a, b):
    return np.logical_and(a, b).sum() / np.logical_or(a, b).sum()


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("boxes", "labels", "scores", "mask_probs")
    )


# street, the shipped model


def test_street_is_a_torchvision_mask_rcnn_ready_to_be_used(street):
    assert type(street) is MaskRCNN
    assert not any(module.training for module in street.modules())
    assert street.name == "street"
    assert street.categories == ("__background__", "person", "bicycle", "car", "motorcycle")
    assert all(tensor.dtype == torch.float32 for tensor in street.state_dict().values())


def test_street_needs_no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("somebody opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    assert load_model("street").name == "street"


def test_every_call_builds_a_model_of_its_own():
    one, other = load_model("street"), load_model("street")
    for tensor in one.state_dict().values():
        tensor.zero_()
    assert all(parameter.any() for parameter in other.parameters())


@pytest.mark.parametrize("size", [(800, 800), None])
def test_street_finds_the_astronaut_and_her_outline(street, size):
    tensor, image = preprocess(sample_photo("astronaut"), size)
    instances = predict(street, tensor).select(score_threshold=0.5)
    height, width = image.shape[:2]
    corners = np.round(np.array(ASTRONAUT) * [width / 512, height / 512]).astype(np.int32)
    outline = cv2.fillPoly(np.zeros((height, width), np.uint8), [corners], 1).astype(bool)

    people = [mask for mask, name in zip(instances.masks, instances.names, strict=True) if name == "person"]
    assert len(people) == 3  # it calls the flag and a dark corner people, too, with lower scores
    assert iou(people[0], outline) >= 0.7


def test_the_motorcycle_that_street_scores_highest_is_the_whole_one(street):
    instances = predict(street, preprocess(sample_photo("motorcycle"))[0]).select()
    found = [box for box, name in zip(instances.boxes, instances.names, strict=True) if name == "motorcycle"]
    to_photograph = np.array([741 / 800, 500 / 800] * 2)
    drawn, boxed = np.zeros((2, 500, 741), bool)
    for canvas, (x1, y1, x2, y2) in (
        (drawn, MOTORCYCLE),
        (boxed, (found[0] * to_photograph).round().astype(int)),
    ):
        canvas[y1:y2, x1:x2] = True
    assert iou(drawn, boxed) >= 0.75


# Which model


def test_no_name_takes_the_environment_variable(street, monkeypatch, tmp_path):
    monkeypatch.setenv(MODEL_VARIABLE, "street")
    assert load_model().name == "street"
    torch.save(street.state_dict(), tmp_path / "mine.pth")
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path / "mine.pth"))
    with pytest.warns(match="does not say how it was trained"):
        assert load_model().name == "mine.pth"
    assert load_model("street").name == "street"  # an argument comes first


@pytest.mark.parametrize("variable", [None, ""])
def test_no_name_falls_back_to_street_with_one_warning(variable, monkeypatch):
    if variable is None:
        monkeypatch.delenv(MODEL_VARIABLE)
    else:
        monkeypatch.setenv(MODEL_VARIABLE, variable)
    with pytest.warns(UserWarning, match="Using the shipped model street instead of coco: mask") as caught:
        model = load_model()
    assert model.name == "street"
    assert len(caught) == 1 and caught[0].filename == __file__  # points at the caller's own line


@pytest.mark.parametrize("name", ["coco", "coco_v2"])
def test_a_named_model_that_is_not_available_says_within_seconds_where_to_put_the_file(name, tmp_path):
    start = time.monotonic()
    with pytest.raises(ModelError) as caught:
        load_model(name)
    assert time.monotonic() - start < 60
    message = str(caught.value)
    assert message.startswith(f"{official_name(name)} cannot be downloaded")
    assert str(tmp_path / "torch" / "hub" / "checkpoints") in message
    assert 'load_model("street")' in message


@pytest.mark.parametrize("name", ["no-such-model", "Coco", "street "])
def test_an_unknown_name_is_a_model_error_that_lists_the_known(name):
    with pytest.raises(ModelError, match=f"no model '{name}'; give one of coco, coco_v2, street, or"):
        load_model(name)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("Street", "street"),
        ("cocov2", "coco_v2"),
        ("maskrcnn_resnet50_fpn", "coco"),
        ("MaskRCNN_ResNet50_FPN_V2", "coco_v2"),
    ],
)
def test_a_name_like_a_known_one_or_torchvision_s_own_is_told_which_is_meant(given, meant):
    with pytest.raises(ModelError, match=rf"no model '{given}'; give one .*; did you mean '{meant}'\?$"):
        load_model(given)
    with pytest.raises(ModelError, match="or a checkpoint's path$"):
        load_model("xyz")


def test_a_folder_in_the_model_s_place_is_told_apart(tmp_path):
    with pytest.raises(TypeError, match="model must be .*got the folder '.*; give pictures as folder="):
        as_model(tmp_path)


@pytest.mark.parametrize("device", ["gpu9", "mps", "xpu", "cuda:99"])
def test_a_device_that_cannot_be_used_is_one_line_with_those_that_can(device):
    message = f"^device '{device}' cannot be used here; there is cpu[a-z0-9:, ]*$"
    with pytest.raises(ValueError, match=message):
        load_model("street", device=device)
    assert next(load_model("street", device="cpu").parameters()).device == torch.device("cpu")


# The COCO models, against torchvision


class Folder(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def published(tmp_path):
    """(a folder, the address of a server for it)."""
    folder = tmp_path / "published"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Folder, directory=folder)
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def publish(name, save, published, monkeypatch):
    """Serve a stand-in under the official name with its own digest, to us and to torchvision; its weights."""
    folder, address = published
    weights = {"coco": MaskRCNN_ResNet50_FPN_Weights, "coco_v2": MaskRCNN_ResNet50_FPN_V2_Weights}[name]
    state = save(folder / "stand-in.pth")
    with (folder / "stand-in.pth").open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    url = re.sub(r"^.*/(.*)-[0-9a-f]+\.pth$", rf"{address}/\1-{digest[:8]}.pth", weights.COCO_V1.url)
    (folder / "stand-in.pth").rename(folder / url.rsplit("/", 1)[1])
    monkeypatch.setattr(weights.COCO_V1.value, "url", url)
    monkeypatch.setitem(MODELS, name, replace(MODELS[name], download=Download.from_url(url)))
    return state


def cut_down(model):
    """The same network with less to do: a small picture, few proposals, and detections of any score."""
    model.transform.min_size, model.transform.max_size = (128,), 128
    model.rpn._pre_nms_top_n = dict.fromkeys(("training", "testing"), 60)
    model.rpn._post_nms_top_n = dict.fromkeys(("training", "testing"), 20)
    model.roi_heads.score_thresh = 0.0
    model.roi_heads.detections_per_img = 10
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, save, build, norm, eps",
    [
        ("coco", as_in_2019, maskrcnn_resnet50_fpn, FrozenBatchNorm2d, 0.0),
        ("coco_v2", as_in_2022, maskrcnn_resnet50_fpn_v2, nn.BatchNorm2d, 1e-5),
    ],
)
def test_a_published_model_is_torchvisions_own_to_the_bit(
    name, save, build, norm, eps, published, tmp_path, monkeypatch
):
    state = publish(name, save, published, monkeypatch)
    model = load_model(name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torchvisions"))  # it downloads for itself
    official = build(weights="COCO_V1", progress=False).eval()

    assert model.state_dict().keys() == official.state_dict().keys() == state.keys()
    for key, weight in model.state_dict().items():
        assert torch.equal(weight, state[key]) and torch.equal(weight, official.state_dict()[key]), key
    for ours, theirs in zip(model.modules(), official.modules(), strict=True):
        assert getattr(ours, "eps", None) == getattr(theirs, "eps", None)
    norms = [module for module in model.modules() if "BatchNorm" in type(module).__name__]
    assert len(norms) >= 53  # ResNet-50 has as many
    assert all(type(module) is norm and module.eps == eps for module in norms)
    assert len(model.categories) == 91 and model.categories[1] == "person" and model.name == name
    assert not model.training

    tensor = photo()
    with torch.no_grad():
        (ours,), (theirs,) = cut_down(model)(tensor), cut_down(official)(tensor)
    assert len(ours["scores"]) == 10
    for key in ("boxes", "labels", "scores", "masks"):
        assert ours[key].isfinite().all()
        assert torch.equal(ours[key], theirs[key]), key


@pytest.mark.slow
def test_no_name_is_the_documented_model_without_a_warning(published, monkeypatch):
    monkeypatch.delenv(MODEL_VARIABLE)
    state = publish("coco", as_in_2019, published, monkeypatch)
    model = load_model()  # a warning would be an error
    assert model.name == "coco"
    assert all(torch.equal(weight, state[key]) for key, weight in model.state_dict().items())


# The options of load_model


def test_a_model_of_the_table_takes_an_input_size_and_a_limit():
    model = load_model("street", min_size=320, max_size=480, detections_per_img=300)
    assert (model.transform.min_size, model.transform.max_size) == ((320,), 480)
    assert model.roi_heads.detections_per_img == 300
    assert load_model("street").roi_heads.detections_per_img == 50  # of this call only


@pytest.mark.parametrize(
    "said, error, match",
    [
        (
            {"categories": ["cat"]},
            ValueError,
            "categories is for a checkpoint of your own; 'street'",
        ),
        ({"anchors": (8, 16, 32, 64, 128)}, ValueError, "anchors is for a checkpoint of your own"),
        ({"norm_eps": 0.0}, ValueError, "norm_eps is for a checkpoint of your own"),
        ({"min_size": 10}, ValueError, "from 32 to 4096 pixels, the smaller first, got 10 and 936"),
        ({"min_size": 1000}, ValueError, "got 1000 and 936"),
        ({"max_size": 2.5}, TypeError, "whole numbers of pixels, got '2.5'"),
        ({"detections_per_img": 0}, ValueError, "a whole number of at least 1 or None, got '0'"),
    ],
)
def test_what_does_not_fit_a_model_of_the_table_is_refused(said, error, match):
    with pytest.raises(error, match=match):
        load_model("street", **said)


def test_too_little_memory_is_a_model_error(monkeypatch):
    def lacking(*_):
        raise MemoryError

    monkeypatch.setattr("maskseg_nb.models.loading.read_state", lacking)
    with pytest.raises(ModelError, match="does not fit into memory; close other programs"):
        load_model("street")


# Wrappers, as torch makes them


@pytest.mark.filterwarnings("ignore")  # torch's own, of wrappers on a CPU
@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        AveragedModel,
        pytest.param(torch.compile, marks=pytest.mark.slow),
        pytest.param(lambda model: torch.compile(nn.DataParallel(model)), marks=pytest.mark.slow),
    ],
    ids=["DataParallel", "AveragedModel", "compiled", "compiled DataParallel"],
)
def test_a_wrapped_model_predicts_the_same_as_the_model_in_it(street, wrap):
    assert same(predict(wrap(street).eval(), photo()), predict(street, photo()))


def test_whatever_takes_a_model_or_a_name_takes_a_wrapped_model(street):
    assert as_model(nn.DataParallel(street)) is as_model(street) is street
    assert as_model("street").name == "street"


def test_a_wrapper_around_something_else_is_a_type_error():
    with pytest.raises(TypeError, match="model must be a torchvision MaskRCNN, got Linear"):
        predict(nn.DataParallel(nn.Linear(2, 2)), photo())


# RoI pools: torchvision fixes their scales by the first picture that a model sees

STRIP = torch.rand(1, 3, 4, 1000, generator=torch.Generator().manual_seed(0))


def bare_street():
    """The same weights in a model that load_model has never touched."""
    model = build_street().eval()
    model.load_state_dict(read_state(shipped_weights("street"))[0])
    assert model.roi_heads.box_roi_pool.scales is None and model.roi_heads.mask_roi_pool.scales is None
    return model


@pytest.mark.slow
def test_without_priming_a_strip_would_change_every_later_result():
    fresh, spoilt = bare_street(), bare_street()
    with torch.no_grad():
        spoilt(STRIP)
        (first,), (later,) = fresh(photo()), spoilt(photo())
    assert first["scores"][0] > 0.9
    assert len(later["scores"]) == 0 or abs(later["scores"][0] - first["scores"][0]) > 0.01


@pytest.mark.parametrize("make", [bare_street, lambda: load_model("street")])
def test_a_strip_first_changes_nothing_after(street, make):
    expected = predict(street, photo())
    assert len(expected) > 0
    model = make()
    predict(model, STRIP)
    assert same(predict(model, photo()), expected)


def test_a_loaded_model_is_safe_when_torchvision_calls_it(monkeypatch):
    fresh, used = load_model("street"), load_model("street")
    with torch.no_grad():
        used(STRIP)
        (expected,), (later,) = fresh(photo()), used(photo())
    assert len(expected["scores"]) > 0
    assert all(torch.equal(later[key], expected[key]) for key in expected)


def test_priming_fixes_each_level_at_its_stride_and_only_once(monkeypatch):
    model = bare_street()
    prime_roi_pools(model)
    for pool in (model.roi_heads.box_roi_pool, model.roi_heads.mask_roi_pool):
        assert pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    monkeypatch.setattr(model.backbone, "forward", None)  # a second run of the backbone would fail
    prime_roi_pools(model)


# Names


def test_a_bare_torchvision_models_categories_are_its_labels_numbers(street):
    assert categories_of(bare_street()) == ("__background__", "1", "2", "3", "4")
    assert categories_of(street) == street.categories


@pytest.mark.parametrize(
    "name, weights",
    [("coco", MaskRCNN_ResNet50_FPN_Weights.COCO_V1), ("coco_v2", MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1)],
)
def test_the_table_has_torchvisions_files_digests_and_categories(name, weights):
    stem = weights.url.rsplit("/", 1)[1].removesuffix(".pth")  # the server in it is replaced in this file
    assert official_name(name) == f"{stem}.pth"
    assert MODELS[name].download.sha256_prefix == stem.rsplit("-", 1)[1]
    assert list(MODELS[name].categories) == weights.meta["categories"]
