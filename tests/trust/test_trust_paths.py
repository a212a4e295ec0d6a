"""Whatever a path leads to: the picture, or a clear refusal at once."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from corpus import encoded, noise

import maskseg_nb
from maskseg_nb import ImageError, load_image
from maskseg_nb.apps.picture_sources import PictureSources
from maskseg_nb.data import images

pytestmark = pytest.mark.skipif(os.name != "posix", reason="such paths exist on POSIX systems only")
PNG = encoded(noise(), "PNG")
NAMES = {
    "255 bytes": b"x" * 251 + b".png",
    "255 bytes of emoji": "\N{CAMERA}".encode() * 62 + b"abc.png",
    "emoji": "\N{CAMERA}\N{VARIATION SELECTOR-16}.png".encode(),
    "newline": b"a\nb\r.png",
    "not UTF-8": b"\xff\xfe\xe9.png",
    "markup": b"<img src=x onerror=alert(1)>.png",
    "right to left": "a\N{RIGHT-TO-LEFT OVERRIDE}gnp.jpg".encode(),
    "escape codes": b"\x1b[31mred\x07.png",
    "quotes and formats": b'it\'s "so" %s {0} $x$ \\n.png',
    "a leading dash": b"-rf.png",
}


@contextmanager
def at_once():
    """What hangs is interrupted."""

    def give_up(*_):
        raise TimeoutError("hangs")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def refusal(path):
    """The message with which a path is refused, after a look at its form."""
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with at_once(), pytest.raises(ImageError) as caught:
        load_image(path)
    message = str(caught.value)
    assert len(message) <= 300
    assert message.isascii() and message.isprintable()
    assert "; " in message  # the reason; the next step
    assert not descriptors or len(os.listdir("/proc/self/fd")) == descriptors
    return message


def fifo(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def link_to_itself(path):
    path.symlink_to(path)


def two_links_in_a_circle(path):
    other = path.with_name("other.png")
    path.symlink_to(other)
    other.symlink_to(path)


def dangling_link(path):
    path.symlink_to(path.with_name("nothing.png"))


def link_to_a_device(path):
    path.symlink_to("/dev/zero")


def server(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.relpath(path))  # a socket's own path may have 107 bytes
    listener.close()


@pytest.mark.expects("refused at once")
@pytest.mark.parametrize(
    "make, message",
    [
        (fifo, "'photo.png' is not a file; choose a picture file"),
        (folder, "'photo.png' is not a file; choose a picture file"),
        (link_to_a_device, "'photo.png' is not a file; choose a picture file"),
        (server, "'photo.png' cannot be opened: No such device or address; choose a readable file"),
        (
            link_to_itself,
            "'photo.png' cannot be opened: Too many levels of symbolic links; choose a readable file",
        ),
        (two_links_in_a_circle, "'photo.png' cannot be opened: Too many levels of symbolic links; "),
        (dangling_link, "{path} does not exist; check the path"),
        (lambda path: None, "{path} does not exist; check the path"),
    ],
    ids="FIFO, folder, link to device, socket, link to itself, circle, dangling link, missing".split(", "),
)
def test_a_path_that_leads_to_no_file_is_refused_at_once(make, message, tmp_path, got):
    make(tmp_path / "photo.png")
    got(refusal(tmp_path / "photo.png"))
    message = message.replace("{path}", repr(str(tmp_path / "photo.png")))
    assert refusal(tmp_path / "photo.png").startswith(message)
    assert refusal(str(tmp_path / "photo.png")).startswith(message)


@pytest.mark.expects("refused at once")
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/tty", "/", "."])
def test_a_device_or_a_root_is_refused_at_once(path, got):
    message = refusal(path)
    got(message)
    assert re.search("is not a file; choose a picture file|cannot be opened: No such device", message)


@pytest.mark.expects("refused")
@pytest.mark.parametrize(
    "path, message",
    [
        ("a\0b.png", r"'a\\x00b.png' cannot be opened: embedded null byte; choose a readable file"),
        (
            "x" * 256 + ".png",
            r"'x+\.\.\.x+\.png' cannot be opened: File name too long; choose a readable file",
        ),
        ("x/" * 4000, "cannot be opened: File name too long; choose a readable file"),
        ("\ud800.png", r"'\\ud800.png' cannot be opened: .*surrogates not allowed; choose a readable file"),
        ("", "'' does not exist; check the path"),
        (f"{__file__}/photo.png", "'photo.png' cannot be opened: Not a directory; choose a readable file"),
    ],
    ids="NUL, 260 bytes, 8000 bytes, lone surrogate, nothing, below a file".split(", "),
)
def test_a_path_that_the_system_refuses_is_refused(path, message, got):
    assert re.search(f"{message}", refusal(path))
    got(refusal(path))


@pytest.mark.expects("right pixels; and escaped in a message")
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_picture_of_any_name_is_read_and_its_name_escaped_in_messages(name, tmp_path, got):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(PNG)
    assert np.array_equal(load_image(path), noise())
    assert np.array_equal(load_image(str(path)), noise())
    path.write_bytes(PNG[:-20])
    message = refusal(path)
    assert "is damaged: " in message
    path.unlink()
    assert "does not exist; check the path" in refusal(path)
    got(message)


READ_WITHOUT_RIGHTS = """
import os, sys
from maskseg_nb import ImageError, load_image
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(load_image(sys.argv[1]).shape)
for path in sys.argv[2:]:
    try:
        load_image(path)
    except ImageError as error:
        print(error)
"""


@pytest.mark.expects("refused")
def test_a_file_or_a_folder_without_permission_is_refused(got):
    with tempfile.TemporaryDirectory() as place:  # pytest's own folder is closed to others
        os.chmod(place, 0o755)
        readable, secret, closed = (
            Path(place, "readable.png"),
            Path(place, "photo.png"),
            Path(place, "closed"),
        )
        closed.mkdir()
        for path in (readable, secret, closed / "inner.png"):
            path.write_bytes(PNG)
            path.chmod(0o644)
        secret.chmod(0)
        closed.chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", READ_WITHOUT_RIGHTS, readable, secret, closed / "inner.png", closed],
            env={**os.environ, "PYTHONPATH": str(Path(maskseg_nb.__file__).parents[1])},
            cwd=place,
            capture_output=True,
            text=True,
            timeout=300,
        )
        closed.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "(40, 60, 3)",
        "'photo.png' cannot be opened: Permission denied; choose a readable file",
        "'inner.png' cannot be opened: Permission denied; choose a readable file",
        "'closed' cannot be opened: Permission denied; choose a readable file",
    ]
    got(done.stdout.splitlines()[1])


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file that fails when it is read")
def test_a_file_that_opens_and_cannot_be_read_is_refused(got):
    message = refusal("/proc/self/mem")
    assert message == "'mem' cannot be read: Input/output error; copy it to a local disk"
    got(message)


# A file that is no longer what it was


@pytest.mark.expects("refused")
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda path: path.unlink(), "No such file|does not exist"),
        (lambda path: (path.unlink(), path.mkdir()), "is not a file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "is not a file"),
        (lambda path: path.write_text("no picture"), "is not a picture that can be read"),
        (lambda path: path.write_bytes(PNG[:100]), "is damaged"),
        (lambda path: path.write_bytes(b""), "empty, 0 bytes"),
    ],
    ids="gone, a folder now, a FIFO now, text now, cut, emptied".split(", "),
)
def test_a_picture_that_changed_after_it_was_listed_is_refused(change, message, tmp_path, got):
    path = tmp_path / "photo.png"
    path.write_bytes(PNG)
    pictures = PictureSources(tmp_path)
    (label,) = (label for label in pictures.labels if label.startswith("photo"))
    change(path)
    assert re.search(message, refusal(path))
    with at_once(), pytest.raises(ImageError, match=message) as caught:
        pictures.image(label)
    got(caught.value)


@pytest.fixture
def between(monkeypatch):
    """A function: let something happen to a file after it was opened and measured, before it is read."""
    measure = os.fstat

    def set_up(event):
        def fstat(handle):
            monkeypatch.setattr(images.os, "fstat", measure)  # once
            status = measure(handle)
            event()
            return status

        monkeypatch.setattr(images.os, "fstat", fstat)

    return set_up


def test_a_file_that_vanishes_or_is_replaced_while_it_is_read_gives_the_picture_that_was_opened(
    tmp_path, between
):
    path, other = tmp_path / "photo.png", tmp_path / "other.png"
    for event in (path.unlink, lambda: os.replace(other, path)):
        path.write_bytes(PNG)
        other.write_bytes(encoded(255 - noise(), "PNG"))
        between(event)
        assert np.array_equal(load_image(path), noise())


@pytest.mark.expects("refused")
@pytest.mark.parametrize(
    "size, message",
    [
        (len(PNG) // 2, "'photo.png' is damaged: .*; copy or download it again"),
        (0, "'photo.png': empty, 0 bytes; copy or download the picture again"),
        (200 * 2**20 + 1, "'photo.png' is larger than 200 MB; save it smaller"),
        (2**40, "'photo.png' is larger than 200 MB; save it smaller"),
    ],
    ids=["shrinks", "is emptied", "grows", "grows to a terabyte"],
)
def test_a_file_that_changes_its_size_while_it_is_read_is_refused(size, message, tmp_path, between, got):
    path = tmp_path / "photo.png"
    path.write_bytes(PNG)
    between(lambda: os.truncate(path, size))  # larger is sparse: takes no room on the disk
    with pytest.raises(ImageError, match=message) as caught:
        load_image(path)
    got(caught.value)


@pytest.mark.expects("refused, unread")
def test_a_file_of_a_terabyte_is_not_read(tmp_path, monkeypatch, got):
    path = tmp_path / "photo.png"
    path.touch()
    os.truncate(path, 2**40)
    monkeypatch.setattr(images, "decode_image", None)
    message = refusal(path)
    assert message == "'photo.png' is larger than 200 MB; save it smaller"
    got(message)


def test_an_open_that_fails_for_any_reason_of_the_system_is_refused(tmp_path, monkeypatch, got):
    def fail(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(images.os, "open", fail)
    with pytest.raises(
        ImageError, match="cannot be opened: Too many open files; choose a readable file"
    ) as caught:
        load_image(tmp_path / "photo.png")
    got(caught.value)
