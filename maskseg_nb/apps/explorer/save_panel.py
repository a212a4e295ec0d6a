"""The explorer's panel for saving: which formats, into which folder."""

from pathlib import Path

import ipywidgets as widgets

from ..widgets import button, wrapping_row

PICTURE = "picture"  # what is on screen, in the explorer's own style, at the photograph's size
# Formats as a person reads them; the picture is an overlay in the chosen style.
CHOICES = {
    PICTURE: "segmented photograph",
    "side_by_side": "side by side",
    "instances": "instance map",
    "categories": "category map",
    "masks": "a mask each",
    "cut_outs": "cut-outs",
    "contours": "polygons (GeoJSON)",
    "coco": "COCO",
    "coco_polygons": "COCO, polygons",
    "csv": "table (CSV)",
}


class SavePanel:
    """Widgets that choose what is saved; they save nothing themselves.

    Args:
        folder: Where to, unless another one is typed.

    Attributes:
        opener: The button that opens and closes the panel.
        save, download: The buttons that write into the folder, and that send to the browser.
        widget: The panel, closed.
    """

    def __init__(self, folder: Path) -> None:
        self.opener = button("Save ...", "download", "Formats and folder", widgets.ToggleButton)
        narrow = widgets.Layout(width="180px")
        self.boxes = {
            name: widgets.Checkbox(value=name == PICTURE, description=text, indent=False, layout=narrow)
            for name, text in CHOICES.items()
        }
        self.folder = widgets.Text(
            description="Folder", value=str(folder), layout=widgets.Layout(width="auto", flex="1 1 300px")
        )
        self.save = button("Save", "download", "Write the chosen files, in the photograph's own pixels")
        self.download = button("Download", "download", "Let your browser save the chosen files")
        row = widgets.HBox([self.folder, self.save, self.download])
        self.widget = widgets.VBox([wrapping_row(*self.boxes.values()), row])
        self.widget.layout.display = "none"
        self.opener.observe(self._open, "value")

    @property
    def formats(self) -> tuple[str, ...]:
        """The chosen ones."""
        return tuple(name for name, box in self.boxes.items() if box.value)

    def _open(self, change: dict[str, bool]) -> None:
        self.widget.layout.display = "flex" if change["new"] else "none"
