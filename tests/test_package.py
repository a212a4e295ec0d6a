"""What holds of the package as a whole: its names, its dependencies, its wheel, its imports."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import maskseg_nb

PACKAGE = Path(maskseg_nb.__file__).parent
ROOT = Path(__file__).parents[1]
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMED = {
    "torch",
    "torchvision",
    "opencv-python",
    "numpy",
    "pillow",
    "matplotlib",
    "ipywidgets",
    "jupyterlab",
    "nbval",
}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*arguments, cwd, path=()):
    """A fresh Python that imports this very package; folders in `path` come before it."""
    folders = os.pathsep.join(map(str, [*path, PACKAGE.parent]))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": folders},
        capture_output=True,
        text=True,
        timeout=300,
    )


# Names


def test_all_is_exactly_the_public_names():
    public = {
        name
        for name, value in vars(maskseg_nb).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    # Called once by __init__ itself, before anything else is imported.
    assert set(maskseg_nb.__all__) == public - {"require_opencv"}
    assert len(set(maskseg_nb.__all__)) == len(maskseg_nb.__all__)


def test_every_public_name_is_documented_and_from_this_package():
    for name in maskseg_nb.__all__:
        value = getattr(maskseg_nb, name)
        if callable(value):
            assert value.__module__.startswith("maskseg_nb."), name
            assert value.__doc__, name


def test_a_star_import_gives_the_public_names():
    namespace = {}
    exec("from maskseg_nb import *", namespace)
    assert namespace.keys() - {"__builtins__"} == set(maskseg_nb.__all__)


# Dependencies


def test_the_conda_environment_asks_for_what_pyproject_asks_for():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    requirements = {re.match(r"[\w-]+", line)[0]: line for line in project()["dependencies"]}
    listed = [line for line in pip if not line.startswith("-e")]
    assert {re.match(r"[\w-]+", line)[0] for line in listed} == NAMED
    assert all(requirements[re.match(r"[\w-]+", line)[0]] == line for line in listed)
    assert "-e .[test]" in pip  # brings the rest of them
    assert f"python{project()['requires-python']}" in environment["dependencies"]


def test_every_import_of_the_package_is_a_dependency():
    distributions = {"cv2": "opencv-python", "PIL": "pillow", "pi_heif": "pi-heif"}
    distributions["skimage"] = "scikit-image"
    distributions["traitlets"] = "ipywidgets"  # its own base, of whose version it decides
    distributions["jupyter_core"] = "jupyterlab"  # the same
    names = {re.match(r"[\w-]+", line)[0] for line in project()["dependencies"]}
    extra = {re.match(r"[\w-]+", line)[0] for line in project()["optional-dependencies"]["scale"]}
    for path, module in imports():
        top = module.split(".")[0]
        if top not in sys.stdlib_module_names:
            known = names | extra if path.parent.name == "results" else names
            assert distributions.get(top, top) in known, f"{path.name} imports {module}"


def test_without_the_extra_scale_all_but_the_shards_works(tmp_path):
    """A folder run needs nothing of it; whoever asks for shards is told what to install."""
    for package in ("pyarrow", "fsspec", "distributed"):
        (tmp_path / f"{package}.py").write_text("raise ImportError('not installed')\n")
    code = "import maskseg_nb.results.folder, maskseg_nb.__main__; print('imported'); "
    code += "import maskseg_nb.results.shards"
    done = run("-c", code, cwd=tmp_path, path=[tmp_path])
    assert done.stdout == "imported\n", done.stderr
    assert "need pyarrow; pip install 'maskseg-nb[scale]'" in done.stderr.splitlines()[-1]


# Wheel


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_the_shipped_weights(tmp_path):
    source = tmp_path / "source"  # a copy: building leaves folders behind
    source.mkdir()
    for name in ("pyproject.toml", project()["readme"], *project()["license-files"]):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = source / "maskseg_nb" / path.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    done = run(
        "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source), cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        expected = {f"maskseg_nb/{path.relative_to(PACKAGE).as_posix()}" for path in MODULES}
        expected |= {"maskseg_nb/models/weights/street.safetensors", "maskseg_nb/models/weights/street.md"}
        expected |= {"maskseg_nb/models/weights/street.validation.json.gz"}
        expected |= {"maskseg_nb/py.typed"}  # type checkers look for it
        browser = (path for path in (PACKAGE / "apps").iterdir() if path.suffix in (".css", ".js"))
        expected |= {f"maskseg_nb/apps/{path.name}" for path in browser}
        assert {name for name in held if name.startswith("maskseg_nb/")} == expected
        assert any(name.endswith("/licenses/LICENSE") for name in held)
        (metadata,) = (name for name in held if name.endswith("/METADATA"))
        assert f"\nVersion: {maskseg_nb.__version__}\n" in archive.read(metadata).decode()
        weights = archive.read("maskseg_nb/models/weights/street.safetensors")
        assert weights == (PACKAGE / "models" / "weights" / "street.safetensors").read_bytes()


# A machine without libGL


@pytest.fixture
def without_libgl(tmp_path):
    """A folder with a cv2 that fails as opencv-python does on a server without graphics libraries."""
    line = "libGL.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "cv2.py").write_text(f"raise ImportError({line!r})\n")
    return tmp_path


def test_without_libgl_the_command_line_prints_one_line(without_libgl):
    done = run("-m", "maskseg_nb", "photo.jpg", cwd=without_libgl, path=[without_libgl])
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert "libGL.so.1" in done.stderr and "apt-get install libgl1" in done.stderr


def test_without_libgl_the_import_names_the_package_to_install(without_libgl):
    done = run("-c", "import maskseg_nb", cwd=without_libgl, path=[without_libgl])
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: OpenCV needs the system library libGL.so.1")
    assert "apt-get install libgl1" in last and "opencv-python-headless" in last


def test_another_import_error_of_opencv_is_passed_on(tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('numpy.core.multiarray failed to import')\n")
    done = run("-c", "import maskseg_nb", cwd=tmp_path, path=[tmp_path])
    assert done.stderr.splitlines()[-1] == "ImportError: numpy.core.multiarray failed to import"


# Modules


def imports():
    """(file, module that it imports) for every import, also those inside functions; not from the package."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                # `from matplotlib import pyplot` names the module on the right.
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def room_of(path):
    """The folder of a module within the package, or the module itself where it is in none."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def inner_imports():
    """(file, room that it imports from) for every import of a module of the package."""
    for path in MODULES:
        package = path.relative_to(PACKAGE).parts[:-1]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                above = package[: len(package) - node.level + 1]
                for alias in node.names:
                    room = (*above, *(node.module or "").split("."), alias.name)[0] or alias.name
                    yield path, "__init__" if room == "__version__" else room


# Who may import whom: each room only from those above it.
ROOMS = (
    "errors",
    "_shared",
    "models",
    "data",
    "mask_rcnn",
    "drawing",
    "evaluation",
    "explain",
    "results",
    "training",
    "lessons",
    "apps",
    "diagnostics",
    "__init__",
    "__main__",
)


def test_a_room_imports_only_from_rooms_above_it():
    assert {room_of(path) for path in MODULES} == set(ROOMS)
    rows = [(path.relative_to(PACKAGE).as_posix(), room_of(path), room) for path, room in inner_imports()]
    assert len(rows) > 200
    order = {room: number for number, room in enumerate(ROOMS)}
    assert [row for row in rows if order[row[2]] > order[row[1]]] == []


def test_a_room_s_init_is_a_docstring_that_names_its_modules():
    for path in MODULES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            docstring, *more = ast.parse(path.read_text()).body
            assert more == [] or path.parent.name == "lessons", path
            text = ast.literal_eval(docstring.value)
            if path.parent.name not in ("_shared", "lessons") and path.parent.parent.name != "apps":
                inside = {
                    other.stem for other in (*path.parent.glob("[!_]*.py"), *path.parent.glob("[!_]*/"))
                } - {"weights"}
                assert inside - set(re.findall(r"`(\w+)`", text)) == set(), path


def importers(package):
    return {path for path, module in imports() if module.split(".")[0] == package}


@pytest.mark.parametrize("package", ["ipywidgets", "anywidget", "traitlets"])
def test_only_the_apps_import_widgets(package):
    assert importers(package)
    assert {path for path in importers(package) if room_of(path) != "apps"} == set()


def test_only_the_figures_and_the_apps_import_matplotlib():
    users = {
        path.relative_to(PACKAGE).as_posix() for path in importers("matplotlib") if room_of(path) != "apps"
    }
    assert all(user.endswith("figures.py") for user in users), users  # a room's second is subject_figures.py
    assert {f"{room}/figures.py" for room in ("drawing", "evaluation", "explain", "results")} <= users


def test_nobody_imports_pyplot_which_is_not_thread_safe():
    assert [(path.name, name) for path, name in imports() if name.startswith("matplotlib.pyplot")] == []


@pytest.mark.slow
def test_nor_does_anything_that_is_imported():
    done = run("-c", "import maskseg_nb, sys; print('matplotlib.pyplot' in sys.modules)", cwd=PACKAGE.parent)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_is_longer_than_300_lines(path):
    assert len(path.read_text().splitlines()) <= 300
