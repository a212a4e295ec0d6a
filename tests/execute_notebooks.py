"""Run every notebook with the shipped model and store what the tests compare: `make notebooks`.

Widget views are dropped (without a kernel they open as an error; the PNG beside them stays), and so are
widget state and the time stamps of the cells. Figures are stored as JPEG: they are made of photographs.
"""

import base64
import io
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from PIL import Image

FOLDER = Path(__file__).parents[1] / "notebooks"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def as_jpeg(png: str) -> str:
    """A figure of photographs as JPEG, a tenth of the PNG's size; both base64, as notebooks hold them."""
    file = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode()


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": FOLDER}}
    ).execute()
    CoalesceStreamsPreprocessor(enabled=True)(notebook, {})  # what was printed in two pieces, in one
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop(WIDGET_VIEW, None)
            if (
                "image/png" in data
                and len(smaller := as_jpeg(data["image/png"])) < len(data["image/png"]) / 2
            ):
                del data["image/png"]
                data["image/jpeg"] = smaller
            output.get("metadata", {}).clear()
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    os.environ["MASKSEG_NB_MODEL"] = "street"
    for notebook_path in map(Path, sys.argv[1:] or sorted(FOLDER.glob("*.ipynb"))):
        execute(notebook_path)
