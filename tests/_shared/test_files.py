"""Files that appear whole or not at all, even where a file cannot have two names."""

import errno
import os
import stat
import subprocess
import sys
import threading
import time

import pytest

from maskseg_nb._shared.files import LOCK, PARTIAL, locked, new_folder, whole_file, write_new, write_whole
from maskseg_nb.errors import TrainingError


def test_a_new_file_has_its_content_and_the_usual_permissions(tmp_path):
    for write in (write_whole, write_new):
        path = tmp_path / write.__name__
        write(path, b"content")
        (tmp_path / "usual").touch()
        assert path.read_bytes() == b"content"
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


@pytest.mark.skipif(os.name != "posix", reason="permissions as on POSIX systems")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0])
def test_permissions_are_what_the_user_s_umask_leaves_and_it_is_never_touched(tmp_path, monkeypatch, mask):
    before = os.umask(mask)
    try:
        with monkeypatch.context() as patch:  # another thread's file would be made while it is 0
            patch.setattr(os, "umask", lambda _: pytest.fail("the umask belongs to the whole process"))
            write_whole(tmp_path / "whole", b"content")
            write_new(tmp_path / "new", b"content")
            folder = new_folder(tmp_path, "a", "b")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("whole", "new")] == [
        0o666 & ~mask
    ] * 2
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~mask


def test_an_existing_file_is_replaced_by_the_one_and_kept_by_the_other(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(FileExistsError):
        write_new(path, b"after")
    assert path.read_bytes() == b"before"
    write_whole(path, b"after")
    assert path.read_bytes() == b"after"
    assert os.listdir(tmp_path) == ["file"]


def test_the_file_that_was_written_is_the_one_that_appears_and_no_copy_of_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with whole_file(path) as file:
        file.write(b"after")
        written = os.fstat(file.fileno()).st_ino
        assert path.read_bytes() == b"before"
    assert path.stat().st_ino == written


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError):
        with whole_file(path) as file:
            file.write(b"half")
            assert [name.startswith(PARTIAL) for name in sorted(os.listdir(tmp_path))] == [True, False]
            raise RuntimeError
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["file"]


@pytest.fixture
def no_links(monkeypatch):
    """A file system without hard links, such as FAT."""

    def refuse(*arguments):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("maskseg_nb._shared.files.os.link", refuse)


def test_without_hard_links_a_new_file_is_written_and_a_taken_name_refused(tmp_path, no_links):
    path = tmp_path / "file"
    write_new(path, b"content")
    assert path.read_bytes() == b"content" and os.listdir(tmp_path) == ["file"]
    with pytest.raises(FileExistsError):
        write_new(path, b"other")
    assert path.read_bytes() == b"content" and os.listdir(tmp_path) == ["file"]


def test_without_hard_links_a_failed_write_leaves_no_file(tmp_path, no_links):
    with pytest.raises(TypeError):
        write_new(tmp_path / "file", "no bytes")
    assert os.listdir(tmp_path) == []


# Folders for one at a time

HOLD = """
import sys, time
from pathlib import Path
from maskseg_nb.errors import TrainingError
from maskseg_nb._shared.files import locked
try:
    with locked(Path(sys.argv[1]), "training", TrainingError):
        print("held", flush=True)
        time.sleep(600)
except TrainingError as error:
    print(error, flush=True)
"""


@pytest.mark.slow
def test_a_folder_is_made_and_held_against_other_processes_until_the_holder_is_killed(tmp_path):
    folder = tmp_path / "deep" / "er"
    first = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(
            TrainingError,
            match=rf"is writing into .*er' \(process {first.pid} on .*\); wait for it to finish",
        ):
            with locked(folder, "training", TrainingError):
                pass
    finally:
        first.kill()
        first.communicate()
    with locked(folder, "training", TrainingError):
        second = subprocess.run([sys.executable, "-c", HOLD, folder], capture_output=True, timeout=300)
        assert second.stdout.startswith(b"another training is writing into")
    assert os.listdir(folder) == []


def test_a_hundred_that_want_a_folder_hold_it_one_after_the_other(tmp_path):
    """The folder's lock file comes and goes meanwhile."""
    inside, most, held, refused = [], [], [], []

    def try_it():
        for _ in range(25):
            try:
                with locked(tmp_path / "folder", "training", TrainingError):
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0.0005)
                    inside.pop()
                    held.append(1)
            except TrainingError:
                refused.append(1)

    threads = [threading.Thread(target=try_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(held) + len(refused) == 100


def test_a_lock_that_was_left_behind_holds_nobody_up(tmp_path):
    (tmp_path / LOCK).write_text("of a process that was killed")
    with locked(tmp_path, "training", TrainingError):
        pass


@pytest.mark.skipif(os.name != "posix", reason="flock is POSIX")
@pytest.mark.parametrize("error", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("left", ["", "23695\nanother-machine\n4597275237967222713936072169270603911758\n"])
def test_nor_does_it_where_a_file_system_has_no_locks(tmp_path, monkeypatch, recwarn, error, left):
    """A lock that holds by existing, filelock's own fallback, would stay when its holder is killed."""
    import fcntl

    def refuse(*arguments):
        raise OSError(error, os.strerror(error))

    (tmp_path / LOCK).write_text(left)
    monkeypatch.setattr(fcntl, "flock", refuse)
    for _ in range(2):
        with locked(tmp_path, "training", TrainingError):
            pass
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege on Windows")
def test_a_lock_that_is_a_link_is_refused_and_where_it_leads_nothing_changes(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LOCK).symlink_to(tmp_path / "thesis.tex")
    with (
        pytest.raises(TrainingError, match="cannot be written"),
        locked(tmp_path / "out", "run", TrainingError),
    ):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_folder_is_held_against_other_threads_and_the_same_one(tmp_path):
    refused = []

    def try_it():
        try:
            with locked(tmp_path, "training", TrainingError):
                pass
        except TrainingError as error:
            refused.append(error)

    with locked(tmp_path, "training", TrainingError):
        try_it()
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert len(refused) == 2
    try_it()
    assert len(refused) == 2


def test_a_folder_is_released_when_its_block_fails(tmp_path):
    for _ in range(2):
        with pytest.raises(RuntimeError):
            with locked(tmp_path, "training", TrainingError):
                raise RuntimeError


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="cannot be written: File exists; make room"):
        with locked(tmp_path / "file", "training", TrainingError):
            pass


def test_a_file_system_without_locks_holds_nobody_up(tmp_path, monkeypatch):
    for error in (OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock here")):

        def refuse(*arguments, error=error, **options):
            raise error

        monkeypatch.setattr("maskseg_nb._shared.files.FileLock.acquire", refuse)
        with locked(tmp_path, "training", TrainingError):
            pass
