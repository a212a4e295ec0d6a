"""The command line: `python -m maskseg_nb PHOTO... --out FIGURE.png`, the main job without a screen."""

import argparse
import sys
import warnings
from pathlib import Path

from . import MasksegError, draw_instances, load_model, predict, preprocess, sample_photo, show_pictures
from .prediction import check_fraction


def main(arguments: list[str] | None = None) -> int:
    """Segment photographs, print a line per instance, write one side-by-side figure.

    Returns:
        The exit status: 0 where all went well, 1 where a picture or the model could not be had.
    """
    parser = argparse.ArgumentParser("python -m maskseg_nb", description=(main.__doc__ or "").splitlines()[0])
    parser.add_argument("photos", nargs="*", type=Path, help="picture files; none: two sample photographs")
    parser.add_argument("--out", type=Path, default=Path("build/demo.png"), help="the figure (%(default)s)")
    parser.add_argument("--model", help="coco, coco_v2, street, or a checkpoint's path")
    parser.add_argument(
        "--score-threshold", type=_fraction, default=0.5, help="keep scores >= this (%(default)s)"
    )
    parser.add_argument("--alpha", type=_fraction, default=0.5, help="weight of the colours (%(default)s)")
    options = parser.parse_args(arguments)
    if not options.out.suffix:  # matplotlib would add it by itself
        options.out = options.out.with_name(f"{options.out.name}.png")
    warnings.showwarning = lambda message, *details: print(f"note: {message}", file=sys.stderr)
    try:
        model = load_model(options.model)
        pictures, titles = [], []
        for photo in options.photos or [sample_photo("astronaut"), sample_photo("motorcycle")]:
            tensor, image = preprocess(photo)
            instances = predict(model, tensor).select(score_threshold=options.score_threshold)
            name = photo.name.encode("utf-8", "replace").decode()  # POSIX names are bytes
            print(f"{name}: {instances}")
            pictures += [image, draw_instances(image, instances, options.alpha)]
            titles += [name, f"{len(instances)} instances"]
        figure = show_pictures(pictures, titles, columns=2)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        try:
            figure.savefig(options.out)
        except ValueError as error:  # matplotlib writes no such kind of file
            raise MasksegError(str(error)) from None
    except (MasksegError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"The figure is in {options.out}")
    return 0


def _fraction(text: str) -> float:
    try:
        value = float(text)
        check_fraction("value", value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number in [0, 1], got {text!r}") from None
    return value


if __name__ == "__main__":
    sys.exit(main())
