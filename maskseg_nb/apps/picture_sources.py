"""The pictures that the apps offer: samples, one folder, uploads."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from .._shared.checks import check_folder
from .._shared.text import visible
from ..data.codec import decode_image
from ..data.images import SUFFIXES, load_image, read_picture_file
from ..data.samples import SAMPLES, picture_name, sample_photo
from ..errors import ImageError, quoted, reason
from ..models.zoo import MODELS


class PictureSources:
    """A list of labels, and what is behind each.

    Args:
        folder: Offer the pictures directly in it; None takes the working folder, a notebook's own.

    Raises:
        ImageError: There is no such folder.
        TypeError: It is no path, but a model, for instance.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        if folder is not None:
            check_folder(folder)
        try:
            self.folder = Path.cwd() if folder is None else Path(os.path.realpath(Path(folder)))
        except (OSError, ValueError) as error:  # the working folder was deleted; a NUL in the name
            raise ImageError(f"{quoted(folder or '.')} is not a folder: {error}; give another path") from None
        if not os.path.isdir(self.folder):
            hint = f', or model="{folder}"' if folder in MODELS else ""
            raise ImageError(f"{quoted(folder)} is not a folder; give the path of a folder of pictures{hint}")
        self._samples = {f"{name} (sample)": name for name in SAMPLES}
        self._files: dict[str, Path] = {}
        self._uploads: dict[str, bytes] = {}
        self._upload_names: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the folder again.

        Raises:
            ImageError: The folder cannot be read any more.
        """
        try:
            names = sorted(path.name for path in self.folder.iterdir() if self._offers(path))
        except OSError as error:
            raise ImageError(
                f"folder {quoted(self.folder)} cannot be read: {reason(error)}; choose one that can"
            ) from None
        # Backslashes doubled, as an escape has one: so no two names have the same label.
        self._files = {visible(name.replace("\\", "\\\\")): self.folder / name for name in names}

    @property
    def labels(self) -> tuple[str, ...]:
        """Uploads, newest first, then the folder's files by name, then the samples."""
        return (*reversed(self._uploads), *self._files, *self._samples)

    @property
    def file_count(self) -> int:
        """How many of the labels are files of the folder."""
        return len(self._files)

    def image(self, label: str) -> np.ndarray:
        """The picture behind a label, as `load_image` returns it.

        Raises:
            ImageError: No such label, a file that leads out of the folder by now, or one that cannot be read.
        """
        if label in self._uploads:
            return decode_image(self._uploads[label], quoted(label))
        if label in self._samples:
            return load_image(sample_photo(self._samples[label]))
        if label not in self._files:
            raise ImageError(f"no picture {quoted(label)} in the list; press Refresh and choose again")
        name = quoted(self._files[label].name)
        return decode_image(self._read(self._files[label], name), name)

    def is_sample(self, label: str) -> bool:
        """Whether a label is one of the package's own pictures."""
        return label in self._samples

    @property
    def uploads(self) -> dict[str, tuple[str, bytes]]:
        """Label -> file name and bytes of what was uploaded; set it to offer those."""
        return {label: (self._upload_names[label], data) for label, data in self._uploads.items()}

    @uploads.setter
    def uploads(self, uploads: Mapping[str, tuple[str, bytes]]) -> None:
        self._upload_names = {label: name for label, (name, _) in uploads.items()}
        self._uploads = {label: data for label, (_, data) in uploads.items()}

    def code(self, label: str) -> str | None:
        """A Python expression for the same picture; None for an upload, which no file holds."""
        if label in self._samples:
            return f'sample_photo("{self._samples[label]}")'
        return repr(str(self._files[label])) if label in self._files else None

    def file_name(self, label: str) -> str:
        """The name, with its ending, of the file behind a label; the label where the list has lost it."""
        if label in self._samples:
            return picture_name(sample_photo(self._samples[label]))
        return self._files[label].name if label in self._files else self._upload_names.get(label, label)

    def stem(self, label: str) -> str:
        """A label as the beginning of a file name: letters, digits, - and _ only."""
        name = self._samples.get(label, Path(label.removesuffix(" (upload)")).stem)
        # 50: of four bytes each, with "-segmented-99.png" behind them, the longest name that Linux takes
        return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:50] or "picture"

    def add_upload(self, name: str, data: bytes) -> str:
        """Offer an uploaded file's bytes, and return its label. The name is the browser's: not trusted.

        Raises:
            ImageError: The bytes are no picture that can be read; nothing is added.
        """
        plain = PureWindowsPath(PurePosixPath(name).name).name or "picture"
        plain = "".join(c if c.isprintable() else "_" for c in plain)[:255]
        short = plain[:60]
        decode_image(data, quoted(short))
        label, number = f"{short} (upload)", 2
        while label in self._uploads:
            label, number = f"{short} {number} (upload)", number + 1
        self._upload_names = {**self._upload_names, label: plain}
        self._uploads = {**self._uploads, label: data}  # a new dict: another thread may be reading the labels
        return label

    def _inside(self, path: Path) -> Path | None:
        """Where a file of the folder really lies, from the folder on; None where that is outside of it."""
        try:
            real = Path(os.path.realpath(path))
        except OSError:  # no link any more when it is read
            return None
        return real.relative_to(self.folder) if real.is_relative_to(self.folder) else None

    def _offers(self, path: Path) -> bool:
        return path.suffix.lower() in SUFFIXES and os.path.isfile(path) and self._inside(path) is not None

    def _read(self, path: Path, name: str) -> bytes:
        inside = self._inside(path)
        try:
            if inside is None:
                raise OSError(errno.ELOOP, "")
            handle = _open_below(self.folder, inside)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ImageError(
                    f"{name} leads out of the folder or nowhere; copy the picture into it"
                ) from None
            raise ImageError(
                f"{name} cannot be opened: {reason(error)}; press Refresh and choose again"
            ) from None
        return read_picture_file(handle, name)


def _open_below(folder: Path, inside: Path) -> int:
    """Open a file by its real path, part by part and along no link: one that was put there since is refused.

    O_NONBLOCK, because a FIFO would hang the open until somebody writes.
    """
    wanted = ("O_NONBLOCK", "O_NOFOLLOW", "O_BINARY")
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in wanted)
    if os.open not in os.supports_dir_fd:  # on Windows, where links are made by administrators
        return os.open(folder / inside, flags)
    handle = os.open(folder, flags)
    for part in inside.parts:
        try:
            inner = os.open(part, flags, dir_fd=handle)
        finally:
            os.close(handle)
        handle = inner
    return handle
