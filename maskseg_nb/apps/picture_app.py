"""What the apps have in common that send a chosen picture through a chosen model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torchvision.models.detection import MaskRCNN

from .._shared.text import as_html
from ..errors import ImageError, quoted
from .app import App
from .picture_chooser import UPLOAD_LIMIT, ChoiceControls
from .runner import Choice

_RUNNING = "<b>Running the network ...</b>"


class PictureApp(App):
    """An app with pictures, uploads and models to choose from."""

    state: Choice
    controls: ChoiceControls

    @property
    def model(self) -> MaskRCNN:
        """The model behind the picture."""
        return self.state.model

    @property
    def image(self) -> np.ndarray:
        """The picture, uint8 (H, W, 3) RGB, at the size that the network saw."""
        return self.state.image

    def _render(self) -> None:
        if self.state.needs_network:
            self.controls.busy(True)
            self._status.value = _RUNNING
        try:
            super()._render()
        finally:
            self.controls.busy(False)
            if self._status.value == _RUNNING:  # where it failed
                self._status.value = ""

    def _begin(self, wrong: str) -> None:
        """Open the app, and say what was wrong at the beginning."""
        self._open()
        if wrong:
            self._say_error(wrong)

    def _connect(self) -> None:
        super()._connect()
        controls, guarded = self.controls, self._guarded
        controls.upload.observe(lambda change: guarded(self._take_upload, change["new"]), "value")
        controls.refresh.on_click(lambda button: guarded(self._refresh))

    def _take_upload(self, files: Sequence[dict[str, Any]]) -> None:
        if not files:
            return  # emptying the value below comes back here
        self.controls.upload.value = ()
        with self.state.lock:
            taken, refused = [], []
            for file in files:  # the front end gives one, as long as it is the front end
                try:
                    taken.append(self._add_upload(file))
                except ImageError as error:
                    refused.append(str(error))
            if taken:
                self.state.picture = taken[-1]
            if refused:
                raise ImageError(refused[0])

    def _add_upload(self, file: dict[str, Any]) -> str:
        """Keep an uploaded file: what the browser says of its name, size and kind is not trusted."""
        name, content = str(file.get("name", "")), file.get("content")
        if not isinstance(content, (bytes, memoryview)):
            raise ImageError(f"{quoted(name)} came without its bytes; upload it again")
        data = bytes(content)
        if len(data) > UPLOAD_LIMIT:
            raise ImageError(
                f"{quoted(name)} is larger than {UPLOAD_LIMIT // 2**20} MB; put it into the folder and "
                "press Refresh"
            )
        return self.state.pictures.add_upload(name, data)

    def _refresh(self) -> None:
        pictures = self.state.pictures
        with self.state.lock:
            pictures.refresh()
            if self.state.picture not in pictures.labels:
                self.state.picture = pictures.labels[0]
            self.controls.sync()
            self._say_folder()

    def _say_folder(self) -> None:
        count, folder = self.state.pictures.file_count, quoted(self.state.pictures.folder)
        found = f"{count} of the pictures are in {folder}" if count else f"No pictures in {folder} yet"
        self._message.value = as_html(found)
