"""What the picker opens, what an upload may be, and what saving leaves behind."""

import errno
import io
import os
import threading

import numpy as np
import pytest
from front_end import file, png, screen, send, tree, upload
from PIL import Image

from maskseg_nb import SAMPLES, Explorer, ImageError, Inside, load_image
from maskseg_nb._shared import files
from maskseg_nb.apps.picture_chooser import UPLOAD_LIMIT
from maskseg_nb.apps.picture_sources import PictureSources
from maskseg_nb.results.export import save_png

SAMPLE_LABELS = tuple(f"{name} (sample)" for name in SAMPLES)
INSIDE, OUTSIDE = 10, 200  # levels of grey: which picture was opened
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX names, links and FIFOs")


@pytest.fixture
def folder(tmp_path):
    """A folder with a.png and sub/b.png; outside.png and other/b.png lie outside of it."""
    folder = tmp_path / "photos"
    for path, level in {
        folder / "a.png": INSIDE,
        folder / "sub" / "b.png": INSIDE,
        tmp_path / "outside.png": OUTSIDE,
        tmp_path / "other" / "b.png": OUTSIDE,
    }.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(level))
    return folder


def level(pictures, label):
    return int(pictures.image(label).max())


# The picker.


@POSIX
def test_links_out_of_the_folder_are_not_offered_and_those_inside_it_are(folder, tmp_path):
    for link, target in {
        "out.png": tmp_path / "outside.png",
        "up.png": "../outside.png",
        "round.png": "../photos/../outside.png",
        "folder.png": tmp_path / "other",
        "dangling.png": "nothing.png",
        "loop.png": "loop.png",
        "in.png": "a.png",
        "below.png": "sub/b.png",
        "again.png": "in.png",
    }.items():
        (folder / link).symlink_to(target)
    (folder / "other").symlink_to(tmp_path / "other")
    (folder / "through.png").symlink_to("other/b.png")
    os.mkfifo(folder / "fifo.png")
    pictures = PictureSources(folder)
    assert pictures.labels == ("a.png", "again.png", "below.png", "in.png", *SAMPLE_LABELS)
    assert [level(pictures, label) for label in pictures.labels[:4]] == [INSIDE] * 4


@pytest.mark.parametrize(
    "label",
    [
        "../outside.png",
        "..",
        ".",
        "",
        "/",
        "sub/b.png",
        "./a.png",
        "a.png\0",
        "A.PNG",
        "/etc/passwd",
        "x" * 9999,
    ],
)
def test_only_what_is_in_the_list_can_be_chosen(label, folder, got):
    with pytest.raises(
        ImageError, match="no picture '.*' in the list; press Refresh and choose again"
    ) as error:
        PictureSources(folder).image(label)
    assert len(str(error.value)) <= 300 and str(error.value).isprintable()
    got(error.value)


def test_an_absolute_path_is_not_a_label(folder):
    with pytest.raises(ImageError, match="in the list"):
        PictureSources(folder).image(str(folder / "a.png"))


@POSIX
@pytest.mark.parametrize(
    ("becomes", "said"),
    [
        ("link out", "'a.png' leads out of the folder or nowhere; copy the picture into it"),
        ("relative link out", "'a.png' leads out of the folder or nowhere"),
        ("loop", "'a.png' leads out of the folder or nowhere"),
        ("link to a folder out", "'a.png' leads out of the folder or nowhere"),
        ("gone", "'a.png' cannot be opened: No such file or directory; press Refresh"),
        ("folder", "'a.png' is not a file; choose a picture file"),
        ("fifo", "'a.png' is not a file; choose a picture file"),
        ("link to the folder", "'a.png' is not a file; choose a picture file"),
        ("empty", "'a.png': empty, 0 bytes; copy or download the picture again"),
    ],
)
def test_what_a_picture_became_after_it_was_listed_is_seen_when_it_is_used(
    becomes, said, folder, tmp_path, got
):
    pictures, path = PictureSources(folder), folder / "a.png"
    path.unlink()
    match becomes:
        case "link out":
            path.symlink_to(tmp_path / "outside.png")
        case "relative link out":
            path.symlink_to("../outside.png")
        case "loop":
            path.symlink_to("a.png")
        case "link to a folder out":
            path.symlink_to(tmp_path / "other")
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "link to the folder":
            path.symlink_to(".")
        case "empty":
            path.touch()
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    with pytest.raises(ImageError, match=said) as error:
        pictures.image("a.png")
    assert not before or len(os.listdir("/proc/self/fd")) == len(before)  # no handle stays open
    path.unlink(missing_ok=True) if becomes != "folder" else path.rmdir()
    path.write_bytes(png(INSIDE))
    assert level(pictures, "a.png") == INSIDE
    got(error.value)


@POSIX
@pytest.mark.parametrize("part", ["file", "folder on the way", "whole folder"])
def test_what_is_put_in_its_place_between_check_and_open_is_refused(part, folder, tmp_path, monkeypatch, got):
    (folder / "in.png").symlink_to("sub/b.png")
    (tmp_path / "sub").symlink_to(tmp_path / "other")  # so that the whole folder's stand-in has the file, too
    (tmp_path / "a.png").write_bytes(png(OUTSIDE))
    label, swapped, by = {
        "file": ("a.png", folder / "a.png", tmp_path / "outside.png"),
        "folder on the way": ("in.png", folder / "sub", tmp_path / "other"),
        "whole folder": ("a.png", folder, tmp_path),
    }[part]
    pictures, check = PictureSources(folder), PictureSources._inside

    def swap(self, path):
        checked = check(self, path)
        swapped.rename(tmp_path / "set aside")
        swapped.symlink_to(by)
        return checked

    monkeypatch.setattr(PictureSources, "_inside", swap)
    with pytest.raises(ImageError, match="(leads out of the folder or nowhere|Not a directory)") as error:
        pictures.image(label)
    got(error.value)


@POSIX
@pytest.mark.expects("never the picture outside, however often the file is swapped while it is opened")
def test_a_file_that_is_swapped_for_a_link_all_the_time_never_leads_out(folder, tmp_path, torture, got):
    pictures, stop = PictureSources(folder), threading.Event()

    def swap():
        while not stop.is_set():
            for make in (
                lambda new: new.symlink_to("../outside.png"),
                lambda new: new.write_bytes(png(INSIDE)),
            ):
                new = tmp_path / "new.png"
                make(new)
                new.replace(folder / "a.png")

    swapper = threading.Thread(target=swap)
    swapper.start()
    opened = {INSIDE: 0, "refused": 0}
    try:
        for _ in range(300 * torture):
            try:
                opened[level(pictures, "a.png")] += 1  # a KeyError for what lies outside
            except ImageError as error:
                assert "leads out of the folder" in str(error)
                opened["refused"] += 1
    finally:
        stop.set()
        swapper.join()
    assert sum(opened.values()) == 300 * torture
    got(opened)


@POSIX
@pytest.mark.parametrize("kind", ["missing", "file", "loop", "NUL", "too long", "deleted working folder"])
def test_what_is_not_a_folder_is_an_image_error_with_a_next_step(kind, folder, tmp_path, monkeypatch, got):
    (tmp_path / "loop").symlink_to("loop")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    place = {
        "missing": tmp_path / "<b>no-such-folder",
        "file": folder / "a.png",
        "loop": tmp_path / "loop",
        "NUL": "photos\0",
        "too long": tmp_path / ("x" * 300),
        "deleted working folder": None,
    }[kind]
    with pytest.raises(ImageError, match="is not a folder.*; give .*path") as error:
        PictureSources(place)
    assert len(str(error.value)) <= 300 and str(error.value).isprintable()
    got(error.value)


def test_a_folder_that_cannot_be_read_any_more_is_an_image_error_and_the_old_list_stays(folder, monkeypatch):
    pictures = PictureSources(folder)
    labels = pictures.labels

    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(ImageError, match="photos' cannot be read: Permission denied; choose one that can"):
        pictures.refresh()
    assert pictures.labels == labels


def test_a_folder_that_is_itself_a_link_works(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert level(PictureSources(tmp_path / "link"), "a.png") == INSIDE


@POSIX
def test_every_name_has_a_label_of_its_own_that_can_be_sent_and_hides_nothing(tmp_path):
    names = [
        b"\xff.png",
        b"\xfe.png",
        rb"\udcff.png",
        "\u202egnp.exe.png".encode(),
        rb"\u202egnp.exe.png",
        b"line\nbreak.png",
        rb"line\nbreak.png",
        b"\x1b[31m.png",
        "\U0001f431\u200d\U0001f4bb.png".encode(),  # two emoji, joined
        b"x" * 251 + b".png",
        b" .png",
        b"<img src=x>.png",
    ]
    for number, name in enumerate(names):
        (tmp_path / os.fsdecode(name)).write_bytes(png(number + 1))
    pictures = PictureSources(tmp_path)
    labels = pictures.labels[: pictures.file_count]
    assert len(set(labels)) == len(names)
    assert sorted(level(pictures, label) for label in labels) == list(range(1, len(names) + 1))
    assert all(label.encode() and label.replace("\u200d", "").isprintable() for label in labels)
    assert {"\\udcff.png", "\\\\udcff.png", "\\u202egnp.exe.png", "\\\\u202egnp.exe.png"} < set(labels)
    for label in labels:  # a name to save under, too
        path = save_png(np.zeros((1, 1, 3), np.uint8), tmp_path, f"{pictures.stem(label)}-segmented")
        assert path.parent == tmp_path and path.is_file()


# Uploads.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo.png", "photo.png"),
        ("../../etc/passwd.png", "passwd.png"),
        ("/etc/passwd.png", "passwd.png"),
        (r"C:\Users\me\photo.png", "photo.png"),
        (r"..\..\boot.png", "boot.png"),
        ("", "picture"),
        ("/", "picture"),
        ("..", ".."),
        ("<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"),
        ("a\nb\0c\u202e.png", "a_b_c_.png"),
        ("\ud800.png", "_.png"),
        ("x" * 500, "x" * 60),
    ],
)
def test_an_uploads_name_is_a_short_plain_name(name, expected, tmp_path):
    pictures = PictureSources(tmp_path)
    label = pictures.add_upload(name, png(1))
    assert label == f"{expected} (upload)"
    assert pictures.file_name(label).startswith(expected) and pictures.file_name(label).isprintable()
    assert level(pictures, label) == 1
    assert os.listdir(tmp_path) == []  # kept in memory: no name touches the disk
    saved = save_png(np.zeros((1, 1, 3), np.uint8), tmp_path, pictures.stem(label))
    assert saved.parent == tmp_path


@pytest.fixture(params=[Explorer, Inside])
def app(request, folder, street):
    app = request.param(folder, street)
    app.runs = []
    hook = street.backbone.register_forward_hook(lambda *_: app.runs.append(app.state.picture))
    yield app
    hook.remove()


HOSTILE = "../<img src=x onerror=alert(1)>.png"


def pictures(screen):
    """Both panels' JPEG files, of what `screen` returned."""
    (shown,) = (state for name, state in screen.items() if name.endswith("PictureView"))
    return shown["left"], shown["right"]


@pytest.mark.parametrize(
    ("uploaded", "said"),
    [
        (
            file(HOSTILE, b""),
            "&lt;img src=x onerror=alert(1)&gt;.png&#x27;: empty, 0 bytes; copy or download",
        ),
        (file(HOSTILE, b"", size=10**12), "empty, 0 bytes"),
        (file(HOSTILE, b"<svg onload=alert(1)>"), "is not a picture that can be read; use one of JPEG"),
        (file(HOSTILE, png(1)[:40]), "is not a picture that can be read; use one of JPEG"),
        (file(HOSTILE, bytes(11 * 2**20)), "is larger than 10 MB; put it into the folder and press Refresh"),
        (file(HOSTILE, bytes(UPLOAD_LIMIT + 1), size=3), "is larger than 10 MB; put it into the folder"),
        ({**file(HOSTILE, b""), "content": "text"}, "came without its bytes; upload it again"),
        ({**file("", b""), "content": None}, "came without its bytes; upload it again"),
    ],
    ids=[
        "0 bytes",
        "0 bytes, said to be a TB",
        "SVG",
        "cut",
        "11 MiB",
        "said to be 3 bytes",
        "text",
        "nothing",
    ],
)
def test_a_bad_upload_is_one_escaped_line_and_the_app_keeps_working(app, uploaded, said, got):
    before, labels, settings = screen(app), app.state.runner.pictures.labels, app.state.picture
    upload(app, uploaded)
    message = app.message.value
    assert said in message and message.count("<") == 2 and "\n" not in message
    assert app.state.runner.pictures.labels == app.chooser.picture.options == labels
    assert app.state.picture == app.chooser.picture.value == settings and app.runs == []
    assert pictures(screen(app)) == pictures(before)
    got(message)
    app.binding.ties["mask_threshold"].controls[0].value = 0.9
    assert app.message.value == "" and app.state.mask_threshold == 0.9
    assert app.chooser.upload.value == ()


def test_an_upload_whose_size_is_a_lie_is_taken_by_its_bytes(app):
    upload(app, file("small.png", png(70), size=10**12))
    assert app.state.picture == app.chooser.picture.value == "small.png (upload)"
    assert (app.message.value, app.runs) == ("", ["small.png (upload)"])
    assert (app.state.image == 70).all()


def test_of_several_files_at_once_all_good_ones_are_offered_and_the_last_is_shown_by_one_run(app):
    upload(app, file("a.png", png(1)), file("bad.png", b"text"), file("../a.png", png(2)), file("c.png", b""))
    assert app.state.runner.pictures.labels[:2] == ("a.png 2 (upload)", "a.png (upload)")
    assert app.chooser.picture.options == app.state.runner.pictures.labels
    assert app.state.picture == "a.png 2 (upload)" and app.runs == ["a.png 2 (upload)"]
    assert "&#x27;bad.png&#x27; is not a picture" in app.message.value


@pytest.mark.parametrize(
    "value", [None, 3, "text", [None], [{}], [{"name": "a.png"}], {"name": "a.png"}, [[]]]
)
def test_an_upload_of_another_shape_changes_nothing(app, value):
    before = screen(app)
    send(app.chooser.upload, value=value)
    after = screen(app)
    assert app.runs == [] and app.state.runner.pictures.labels[0] == "a.png"
    assert pictures(after) == pictures(before)
    upload(app, file("good.png", png(3)))
    assert app.state.picture == "good.png (upload)" and app.message.value == ""


def test_the_limit_and_what_to_do_beyond_it_stand_beside_the_button_before_anything_is_uploaded(app):
    texts = [widget.value for widget in tree(app.widget) if type(widget).__name__ == "Label"]
    assert f"at most {UPLOAD_LIMIT // 2**20} MB" in texts
    assert (
        app.chooser.upload.tooltip == "At most 10 MB; put a larger picture into the folder and press Refresh"
    )


# Saving.


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_file_is_never_overwritten(tmp_path):
    pictures = [np.full((2, 3, 3), level, np.uint8) for level in (10, 20, 30)]
    paths = [save_png(picture, tmp_path, "photo") for picture in pictures]
    assert [path.name for path in paths] == ["photo.png", "photo-2.png", "photo-3.png"]
    assert all(np.array_equal(pixels(path), picture) for path, picture in zip(paths, pictures, strict=True))


@POSIX
@pytest.mark.parametrize("kind", ["folder", "dangling link", "FIFO"])
def test_a_name_that_is_taken_by_something_else_is_left_alone(kind, tmp_path):
    match kind:
        case "folder":
            (tmp_path / "photo.png").mkdir()
        case "dangling link":
            (tmp_path / "photo.png").symlink_to(tmp_path / "elsewhere.png")
        case "FIFO":
            os.mkfifo(tmp_path / "photo.png")
    assert save_png(noise(), tmp_path, "photo").name == "photo-2.png"
    assert not (tmp_path / "elsewhere.png").exists()


@pytest.mark.parametrize(
    ("folder", "reason"), [("missing", "No such file or directory"), ("file", "Not a directory")]
)
def test_a_folder_that_cannot_be_written_to_is_an_image_error(folder, reason, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        ImageError, match=f"photo.png' cannot be written: {reason}; make room, or give another folder"
    ):
        save_png(noise(), tmp_path / folder, "photo")
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_that_is_too_long_is_an_image_error_and_no_endless_search(tmp_path):
    with pytest.raises(ImageError, match="cannot be written: File name too long"):
        save_png(noise(), tmp_path, "x" * 300)


class Half(io.FileIO):
    """A file on a disk that fails after ten bytes."""

    failure: BaseException

    def write(self, data):
        super().write(bytes(data)[:10])
        raise self.failure


@pytest.mark.parametrize("buffered", [False, True], ids=["at once", "when the buffer is emptied"])
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ImageError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), ImageError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["disk full", "quota", "interrupt"],
)
def test_a_write_that_fails_half_way_leaves_no_file(buffered, failure, expected, tmp_path, monkeypatch, got):
    monkeypatch.setattr(Half, "failure", failure, raising=False)

    def open_half(handle, mode):
        raw = Half(handle, mode.replace("b", ""))
        return Buffer(raw) if buffered else raw

    class Buffer(io.BufferedWriter):
        def close(
            self,
        ):  # of the failing kind only the first time: else it fails again, unasked, when deleted
            try:
                super().close()
            finally:
                self.raw.close()

        def __del__(self):
            pass

    monkeypatch.setattr(files.os, "fdopen", open_half)
    with pytest.raises(expected) as error:
        save_png(noise(), tmp_path, "photo")
    assert os.listdir(tmp_path) == []
    got(error.value)


def test_a_read_only_folder_is_reported_in_the_app_and_nothing_stays(folder, street, monkeypatch):
    app = Explorer(folder, street)
    before = sorted(os.listdir(folder))

    def refuse(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "open", refuse)
        app.controls.save.click()
    assert (
        "a-segmented.png&#x27; cannot be written: Read-only file system; make room, or give another folder"
        in app.message.value
    )
    assert sorted(os.listdir(folder)) == before
    app.controls.save.click()
    assert "Saved as" in app.message.value
    np.testing.assert_array_equal(load_image(folder / "a-segmented.png"), load_image(folder / "a.png"))


def test_two_who_save_at_once_both_get_a_whole_file_of_their_own(tmp_path, torture):
    start, paths = threading.Barrier(4), {}

    def save(seed):
        start.wait(300)
        for number in range(5 * torture):
            paths[seed, number] = save_png(noise(seed), tmp_path, "photo")

    savers = [threading.Thread(target=save, args=(seed,)) for seed in range(4)]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join(300)
    assert len(set(paths.values())) == len(paths) == len(os.listdir(tmp_path)) == 20 * torture
    assert all(np.array_equal(pixels(path), noise(seed)) for (seed, _), path in paths.items())
