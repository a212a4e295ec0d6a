"""The pictures that the apps offer: samples, one folder, uploads."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from .errors import ImageError, quoted
from .images import SAMPLES, SUFFIXES, decode_image, sample_photo


class Pictures:
    """A list of labels, and what is behind each.

    Args:
        folder: Offer the pictures directly in it; None takes the working folder, a notebook's own.

    Raises:
        ImageError: There is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path.cwd() if folder is None else Path(folder).resolve()
        if not self.folder.is_dir():
            raise ImageError(f"{quoted(folder)} is not a folder; give the path of a folder of pictures")
        self._samples = {f"{name} (sample)": name for name in SAMPLES}
        self._files: dict[str, Path] = {}
        self._uploads: dict[str, bytes] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the folder again.

        Raises:
            ImageError: The folder cannot be read any more.
        """
        try:
            names = sorted(path.name for path in self.folder.iterdir() if self._offers(path))
        except OSError as error:
            raise ImageError(f"folder {quoted(self.folder)} cannot be read: {error.strerror}") from None
        self._files = {name.encode("utf-8", "replace").decode(): self.folder / name for name in names}

    @property
    def labels(self) -> tuple[str, ...]:
        """Uploads, newest first, then the folder's files by name, then the samples."""
        return (*reversed(self._uploads), *self._files, *self._samples)

    @property
    def file_count(self) -> int:
        """How many of the labels are files of the folder."""
        return len(self._files)

    def source(self, label: str) -> Path | bytes:
        """What `load_image` takes for a label.

        Raises:
            ImageError: No such label, or a file that leads out of the folder by now.
        """
        if label in self._uploads:
            return self._uploads[label]
        if label in self._samples:
            return sample_photo(self._samples[label])
        if label not in self._files:
            raise ImageError(f"no picture {quoted(label)} in the list; press Refresh and choose again")
        path = self._files[label]
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ImageError(f"{quoted(label)} leads out of the folder; copy the picture into it")
        return path

    def code(self, label: str) -> str | None:
        """A Python expression for the same picture; None for an upload, which no file holds."""
        if label in self._samples:
            return f'sample_photo("{self._samples[label]}")'
        return repr(str(self._files[label])) if label in self._files else None

    def stem(self, label: str) -> str:
        """A label as the beginning of a file name: letters, digits, - and _ only."""
        name = self._samples.get(label, Path(label.removesuffix(" (upload)")).stem)
        return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:60] or "picture"

    def add_upload(self, name: str, data: bytes) -> str:
        """Offer an uploaded file's bytes, and return its label. The name is the browser's: not trusted.

        Raises:
            ImageError: The bytes are no picture that can be read; nothing is added.
        """
        plain = PureWindowsPath(PurePosixPath(name).name).name or "picture"
        plain = "".join(c if c.isprintable() else "_" for c in plain)[:60]
        decode_image(data, quoted(plain))
        label, number = f"{plain} (upload)", 2
        while label in self._uploads:
            label, number = f"{plain} {number} (upload)", number + 1
        self._uploads[label] = data
        return label

    def _offers(self, path: Path) -> bool:
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            return False
        return path.resolve().is_relative_to(self.folder.resolve())
