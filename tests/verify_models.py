"""The published COCO weights, for a machine that can download them: `make verify-models`.

Loads `coco` and `coco_v2`, compares them with torchvision's own loading to the bit on every sample
photograph, prints what each finds with its scores, and checks that it finds the most obvious things.
Exit status 0: all of it holds; 1: something does not; 2: the weights are not available here.
"""

import sys

import torch
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2

from maskseg_nb import MODELS, ModelError, load_model, predict, preprocess, sample_photo
from maskseg_nb.data.samples import SAMPLES
from maskseg_nb.models.download import fetch

OFFICIAL = {"coco": maskrcnn_resnet50_fpn, "coco_v2": maskrcnn_resnet50_fpn_v2}
# Sample -> category. The lowest score allowed is a guess, made without the weights: the scores are printed.
FACTS = {"cat": "cat", "astronaut": "person", "motorcycle": "motorcycle", "coffee": "cup"}
LEAST = 0.9


def main() -> int:
    faults: list[str] = []
    for name, build in OFFICIAL.items():
        try:
            fetch(MODELS[name].download)
        except ModelError as error:
            print(f"{name} cannot be verified here: {error}")
            return 2
        ours, official = load_model(name, device="cpu"), build(weights="COCO_V1", progress=False).eval()
        faults += [f"{name}: {fault}" for fault in differences(ours, official)]
        for sample in SAMPLES:
            tensor, _ = preprocess(sample_photo(sample))
            faults += [f"{name} on {sample}: {fault}" for fault in different_results(ours, official, tensor)]
            found = predict(ours, tensor).select(score_threshold=0.5)
            scored = list(zip(found.names, found.scores, strict=True))
            listed = ", ".join(f"{category} {score:.3f}" for category, score in scored)
            print(f"{name} on {sample}: {listed or 'nothing scored 0.5 or more'}")
            if sample in FACTS:
                best = max((score for category, score in scored if category == FACTS[sample]), default=0.0)
                if best < LEAST:
                    fact = f"{FACTS[sample]} {best:.3f}, expected {LEAST} or more (a guess)"
                    faults.append(f"{name} on {sample}: {fact}")
    for fault in faults:
        print(f"WRONG: {fault}")
    print(f"{len(faults)} faults" if faults else "All equal to torchvision's own loading, to the bit.")
    return 1 if faults else 0


def differences(ours: MaskRCNN, official: MaskRCNN) -> list[str]:
    """Weights, and eps of norms, that are not torchvision's."""
    one, other = ours.state_dict(), official.state_dict()
    faults = [f"{key} is in one of the two" for key in one.keys() ^ other.keys()]
    faults += [f"{key} differs" for key in one.keys() & other.keys() if not torch.equal(one[key], other[key])]
    eps = [[getattr(module, "eps", None) for module in model.modules()] for model in (ours, official)]
    return faults if eps[0] == eps[1] else [*faults, "the eps of norms differs"]


def different_results(ours: MaskRCNN, official: MaskRCNN, tensor: torch.Tensor) -> list[str]:
    """What differs between `predict` and torchvision's forward."""
    with torch.no_grad():
        (expected,) = official(tensor)
    prediction = predict(ours, tensor)
    got = {name: getattr(prediction, name) for name in ("boxes", "labels", "scores")}
    got["masks"] = prediction.masks()
    return [
        f"{name} differ"
        for name, array in got.items()
        if array.shape != expected[name].shape or (array != expected[name].numpy()).any()
    ]


if __name__ == "__main__":
    sys.exit(main())
