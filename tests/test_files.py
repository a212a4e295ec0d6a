"""Files that appear whole or not at all, also where a file cannot have two names."""

import errno
import os
import stat

import pytest

from maskseg_nb.files import PARTIAL, new_folder, whole_file, write_new, write_whole


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
    """A file system without second names, such as FAT."""

    def refuse(*arguments):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("maskseg_nb.files.os.link", refuse)


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
