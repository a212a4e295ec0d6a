"""The controls that choose picture, model and input size, and what they do."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from .._shared.text import visible
from ..errors import ImageError, quoted
from .binding import Binding
from .runner import AUTOMATIC, INPUT_SIZES, Runner
from .widgets import button, wrapping_row

UPLOAD_LIMIT = 10 * 2**20  # bytes; a stock Jupyter server drops larger messages without a word
_LIMIT = f"{UPLOAD_LIMIT // 2**20} MB"


class PictureChooser:
    """The widgets that choose picture, model and input size.

    They stay open while the network runs: a disabled control loses the keyboard's focus, and of several
    choices made meanwhile the last one counts.

    Args:
        runner: Runs the network on what is chosen.
        binding: Ties the widgets to the runner's settings.
        say: Called with a piece of news for the app's line.
    """

    def __init__(self, runner: Runner, binding: Binding, say: Callable[[str], None]) -> None:
        self._runner, self._binding, self._say = runner, binding, say
        models = [(visible(name), name) for name in runner.model_names]
        auto = widgets.Layout(width="auto")
        self.picture = widgets.Dropdown(description="Picture", layout=auto)
        self.model = widgets.Dropdown(description="Model", options=models, layout=auto)
        sizes = {"automatic: samples 800 x 800, others in proportion": AUTOMATIC}
        sizes |= {name: name for name in INPUT_SIZES}
        self.input_size = widgets.Dropdown(description="Input size", options=list(sizes.items()), layout=auto)
        self.refresh = button("Refresh", "refresh", "Read the folder again")
        self.upload = widgets.FileUpload(
            accept="image/*",
            description="Upload",
            tooltip=f"At most {_LIMIT}; put a larger picture into the folder and press Refresh",
            layout=widgets.Layout(width="auto", flex="0 0 auto"),
        )
        binding.show(self._offer)
        binding.tie("picture", [self.picture], stays_open=True)
        binding.tie("model_name", [self.model], stays_open=True)
        binding.tie("input_size", [self.input_size], stays_open=True)
        self.upload.observe(lambda change: binding.act(self._take_upload, change["new"]), "value")
        self.refresh.on_click(lambda _: binding.act(self._refresh))

    def layout(self, *others: widgets.Widget) -> widgets.Widget:
        """Picture, files, model, input size and an app's `others`, beside each other where there is room."""
        files = widgets.HBox([self.refresh, self.upload, widgets.Label(f"at most {_LIMIT}")])
        row = wrapping_row(self.picture, files, self.model, self.input_size, *others)
        row.add_class("maskseg-choices")
        return row

    def say_folder(self) -> None:
        """Say how many pictures are in the folder."""
        pictures = self._runner.pictures
        count, folder = pictures.file_count, quoted(pictures.folder)
        self._say(f"{count} of the pictures are in {folder}" if count else f"No pictures in {folder} yet")

    def _offer(self) -> None:
        labels = self._runner.pictures.labels
        if self.picture.options != labels:
            self.picture.options = labels

    def _take_upload(self, files: Sequence[dict[str, Any]]) -> None:
        if not files:
            return  # emptying the value below comes back here
        self.upload.value = ()
        taken, refused = [], []
        for file in files:  # the front end gives one, as long as it is the front end
            try:
                taken.append(self._add_upload(file))
            except ImageError as error:
                refused.append(str(error))
        if taken:
            self._runner.settings.picture = taken[-1]
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
                f"{quoted(name)} is larger than {_LIMIT}; put it into the folder and press Refresh"
            )
        return self._runner.pictures.add_upload(name, data)

    def _refresh(self) -> None:
        runner = self._runner
        with runner.settings.lock:
            runner.pictures.refresh()
            if runner.choice[0] not in runner.pictures.labels:
                runner.settings.picture = runner.pictures.labels[0]
            self._binding.sync()
            self.say_folder()
