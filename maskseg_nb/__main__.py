"""The command line: `maskseg-nb PHOTO_OR_FOLDER... --out FOLDER`, the main job without a screen."""

import argparse
import glob
import os
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchvision.models.detection import MaskRCNN

from . import __version__
from ._shared.checks import check_fraction
from .data.images import is_address, not_there
from .data.samples import sample_photo
from .errors import MasksegError, quoted
from .models.loading import load_model
from .models.zoo import MODELS
from .results.export import check_formats
from .results.folder import segment_pictures
from .results.folder_contents import FolderPictures, pictures_in
from .results.folder_records import Record
from .results.formats import FORMATS

EXAMPLES = """examples:
  maskseg-nb                                   two sample photographs
  maskseg-nb photo.jpg --model street          one of yours
  maskseg-nb holidays --out masks --formats overlay,cut_outs,csv
  maskseg-nb holidays --out masks              again: resumes where it stopped
  maskseg-nb 'day*/*.jpg' --categories person,bicycle
  maskseg-nb 's3://bucket/photos/**/*.jpg' --out s3://bucket/masks --shards
  maskseg-nb field.jpg --model weeds.pth --category-names weed,crop --min-size 640 --max-size 640
"""


def main(arguments: list[str] | None = None) -> int:
    """Segment photographs and folders of them, and write what was found.

    Returns:
        The exit status: 0 if all went well, 1 if a picture failed or the run could not start. Wrong use ends
        in SystemExit with status 2.
    """
    options = _parser().parse_args(arguments)
    is_new = not os.path.lexists(options.out)
    warnings.showwarning = lambda message, *details: print(f"note: {message}", file=sys.stderr)
    try:
        if options.shards:
            return _shards(options)
        result = segment_pictures(_pictures(options.pictures), options.out, _model(options), **_how(options))
    except (MasksegError, ValueError) as error:  # the latter: an option does not fit the model
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.verbose:
        for record in result.records():
            print(f"{_printable(record.file)}: {_outcome(record)}")
    for name, reason in result.failures.items():
        is_named = quoted(name)[1:] in reason  # many errors name the file themselves, or its path
        print(f"error: {reason}" if is_named else f"error: {_printable(name)}: {reason}", file=sys.stderr)
    if is_new and result.failures and len(result.pictures) == 1:
        shutil.rmtree(options.out, ignore_errors=True)  # nothing is in it that was not just said
    elif not options.quiet:
        print(f"{result}; the files are in {_printable(str(result.out))}")
    return 1 if result.failures else 0


def _how(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a folder run and one in shards have in common."""
    names = ("score_threshold", "mask_threshold", "categories", "detections_per_img", "alpha")
    default = () if options.shards else ("overlay", "coco", "csv")
    return {name: getattr(options, name) for name in names} | {
        "formats": default if options.formats is None else options.formats,
        "resume": not options.from_scratch,
        "progress": not options.quiet and sys.stderr.isatty(),
    }


def _shards(options: argparse.Namespace) -> int:
    """A run whose results are kept in shards; its exit status."""
    try:
        from .results.shards import segment_shards
    except ImportError as error:
        raise MasksegError(str(error)) from None
    if not options.pictures:
        raise MasksegError("--shards needs a source: a folder, a pattern, or a list of paths or URLs")
    one = len(options.pictures) == 1
    source = options.pictures[0] if one else options.pictures
    result = segment_shards(source, options.out, _model(options), **_how(options))
    if not options.quiet:
        print(f"{result}; the shards are in {_printable(result.out)}")
    if result.failed:
        print(f"error: {result.failed} failed; failures.csv says why", file=sys.stderr)
    return 1 if result.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "maskseg-nb",
        description="Segment photographs and folders of them with Mask R-CNN, and write what was found.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("pictures", nargs="*", help="picture files and folders of them; * and ? as in a shell")
    add("--out", default="segmented", help="a new folder, or one to resume (%(default)s)")
    add("--model", help=f"{', '.join(MODELS)}, or a checkpoint's path")
    add("--device", help="cpu, cuda, cuda:1, mps (cuda where there is one, else cpu)")
    add("--score-threshold", type=_fraction, default=0.5, help="keep scores >= this (%(default)s)")
    add("--mask-threshold", type=_fraction, default=0.5, help="inside is probability > this (%(default)s)")
    add("--categories", type=_names, help="keep only these, comma-separated")
    most = "the most instances in a picture (the model's own limit)"
    add("--detections-per-img", type=_count, metavar="N", help=most)
    own = parser.add_argument_group("what your own checkpoint does not say about its training")
    own.add_argument("--category-names", type=_names, help="in the order of its labels, comma-separated")
    own.add_argument("--min-size", type=_count, metavar="PIXELS", help="of the input's short side")
    own.add_argument("--max-size", type=_count, metavar="PIXELS", help="of its long side, at most")
    own.add_argument("--anchors", type=_sizes, help="a size in pixels for each level, comma-separated")
    own.add_argument("--norm-eps", type=_fraction, help="of frozen batch norms: 0 or 1e-5")
    add("--alpha", type=_fraction, default=0.5, help="weight of the colours (%(default)s)")
    known = f"comma-separated, of {', '.join(FORMATS)} (overlay,coco,csv)"
    add("--formats", type=_formats, help=known)
    many = "for very many pictures: results in Parquet, pictures and --out by path or URL; needs [scale]"
    add("--shards", action="store_true", help=many)
    add("--from-scratch", action="store_true", help="redo what is already done")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    loudness.add_argument("-v", "--verbose", action="store_true", help="print what is in each picture")
    return parser


def _model(options: argparse.Namespace) -> MaskRCNN | str | None:
    """The model's name; or the model itself, where an option says more of it."""
    names = ("device", "min_size", "max_size", "anchors", "norm_eps")
    told = {name: getattr(options, name) for name in names}
    told["categories"] = options.category_names
    if all(value is None for value in told.values()):
        return options.model
    return load_model(options.model, **told)


def _pictures(given: list[str]) -> FolderPictures:
    """Files as they are, folders as the pictures in them; two samples where nothing is given."""
    if not given:
        return FolderPictures([sample_photo("restaurant"), sample_photo("motorcycle")])
    every = FolderPictures()
    for path in (path for text in given for path in _expanded(text)):
        inside = pictures_in(path) if path.is_dir() else [path]
        every.extend(inside)
        if isinstance(inside, FolderPictures):
            every.passed_over += inside.passed_over
            every.not_entered += inside.not_entered
    return every


def _expanded(text: str) -> Iterator[Path]:
    """The files that a pattern stands for, where a shell has not expanded it: quoted, or on Windows.

    A file of exactly that name comes first, and brackets in an existing folder's name stand for themselves.

    Raises:
        ImageError: It is an address in the web.
    """
    path = Path(text)
    if not os.path.lexists(path):
        path = path.expanduser() if text.startswith("~") else path
        folder = next((parent for parent in path.parents if parent.is_dir()), Path())
        pattern = os.path.join(glob.escape(str(folder)), path.relative_to(folder))
        if found := sorted(glob.glob(pattern, recursive=True)):
            yield from map(Path, found)
            return
        if is_address(text):
            raise not_there(text)
    yield path


def _outcome(record: Record) -> str:
    counts = Counter(row["category"] for row in record.rows)
    found = ", ".join(f"{name} {count}" for name, count in counts.items())
    limit = f"; the limit of {record.limit} detections is reached" if record.limit else ""
    return "failed" if record.error else (found or "nothing found") + limit


def _printable(name: str) -> str:
    """A name as a terminal can show it: POSIX names are bytes."""
    return name if name.isprintable() else quoted(name, 200)


def _fraction(text: str) -> float:
    try:
        value = float(text)
        check_fraction("value", value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number in [0, 1], got {text!r}") from None
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, map(str.strip, text.split(","))))
    if not names:
        raise argparse.ArgumentTypeError(f"must name at least one category, got {text!r}")
    return names


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def _sizes(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be comma-separated numbers, got {text!r}") from None


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, map(str.strip, text.split(","))))
    try:
        check_formats(names)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return names


if __name__ == "__main__":
    sys.exit(main())
