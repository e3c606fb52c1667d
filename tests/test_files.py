"""Outputs are whole or absent, and mistakes with paths end in one sentence."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from neuralcipher import files
from neuralcipher.errors import OutputExistsError, UsageError, VideoError, WriteError


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def write(path: Path, data: bytes = b"new", *, force: bool = False) -> None:
    with files.output_file(path, force=force) as file:
        file.write(data)


def fill_path(path: Path, *, force: bool = False) -> AbstractContextManager[Path]:
    return files.output_path(path, force=force)


def fill_folder(path: Path, *, force: bool = False) -> AbstractContextManager[Path]:
    return files.output_folder(path, force=force)


def test_writes_a_new_file_with_the_umask_mode(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write(tmp_path / "a")
        with files.output_file(tmp_path / "k", force=False, private=True) as file:
            file.write(b"k")
        with files.output_path(tmp_path / "v.mp4", force=False) as path:
            path.write_bytes(b"v")
        with files.output_folder(tmp_path / "d", force=False) as folder:
            (folder / "1.png").write_bytes(b"p")
    finally:
        assert os.umask(old) == 0o027
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names(tmp_path)}
    assert modes == {"a": 0o640, "k": 0o600, "v.mp4": 0o640, "d": 0o750}
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path / "d") == ["1.png"]


def test_the_file_is_private_and_unnamed_until_it_is_whole(tmp_path: Path) -> None:
    with files.output_file(tmp_path / "a.ncv", force=False):
        (name,) = names(tmp_path)
        assert name.startswith(".a.ncv.")
        assert name.endswith(".part")
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_output_path_keeps_the_suffix(tmp_path: Path) -> None:
    with files.output_path(tmp_path / "a.mp4", force=False) as path:
        assert path.suffix == ".mp4"
        path.write_bytes(b"video")
    assert (tmp_path / "a.mp4").read_bytes() == b"video"
    assert names(tmp_path) == ["a.mp4"]


def test_refuses_to_overwrite_without_force(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="exists already") as caught:
        write(path)
    assert caught.value.exit_code == 6
    assert "--force" in caught.value.hint
    assert path.read_bytes() == b"old"
    write(path, force=True)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("links", [True, False])
def test_a_racing_file_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def no_link(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", no_link)
    path = tmp_path / "a"
    with pytest.raises(OutputExistsError), files.output_file(path, force=False):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a"]


def test_publishes_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no hard links here")

    monkeypatch.setattr(os, "link", no_link)
    write(tmp_path / "a")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("make", [files.output_file, fill_path, fill_folder])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit, FileNotFoundError])
def test_any_exception_leaves_nothing(
    tmp_path: Path, make: Callable[..., AbstractContextManager[object]], error: type[BaseException]
) -> None:
    def fail() -> None:
        with make(tmp_path / "a.png", force=False) as out:
            if isinstance(out, Path) and out.is_dir():
                (out / "1.png").write_bytes(b"p")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


@pytest.mark.parametrize("make", [files.output_file, fill_path])
def test_an_exception_keeps_the_old_file(tmp_path: Path, make: Callable[..., AbstractContextManager[object]]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), make(path, force=True):
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("make", [files.output_file, fill_path, fill_folder])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_full_or_failing_disk_is_one_sentence(
    tmp_path: Path, make: Callable[..., AbstractContextManager[object]], code: int
) -> None:
    with (
        pytest.raises(WriteError, match=r"a\.png could not be written: ") as caught,
        make(tmp_path / "a.png", force=False),
    ):
        raise OSError(code, os.strerror(code))
    assert caught.value.exit_code == 1
    assert caught.value.hint
    assert names(tmp_path) == []


def test_an_error_of_another_file_passes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.output_file(tmp_path / "a", force=False):
        (tmp_path / "absent").read_bytes()
    assert names(tmp_path) == []


LIMITED = """
import resource, sys
from pathlib import Path
from neuralcipher.errors import WriteError
from neuralcipher.files import output_file
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with output_file(Path(sys.argv[1]), force=False) as file:
        for _ in range(int(sys.argv[2])):
            file.write(bytes(1_000))
except WriteError as error:
    print(error.message)
"""


@pytest.mark.parametrize("kilobytes", [101, 500])
def test_a_file_over_the_limit_of_the_system(tmp_path: Path, kilobytes: int) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "a"), str(kilobytes)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "could not be written: it would grow beyond the largest file" in result.stdout
    assert result.stderr == ""
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from neuralcipher.files import output_file
with output_file(Path(sys.argv[1]), force=False) as file:
    file.write(bytes(100_000))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")], check=False)
    assert result.returncode == -signal.SIGKILL
    assert not (tmp_path / "a").exists()
    write(tmp_path / "a")  # what the kill left does not stand in the way


def test_paths_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path, sentence in [
        (tmp_path / "absent" / "a", "the folder of .* does not exist"),
        (tmp_path / "file" / "a", "the folder of .* does not exist"),
        (tmp_path, "is a folder"),
        (Path(os.devnull), "is a device or a pipe"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            write(path, force=True)
        with pytest.raises(UsageError, match=sentence):
            files.check_output(path, force=True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="may not be written to"):
        files.check_output(tmp_path / "a", force=False)
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path) -> None:  # pragma: no cover - not as root
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="may not be written to"):
        write(tmp_path / "a")


def test_names_as_long_as_the_disk_takes(tmp_path: Path) -> None:
    write(tmp_path / ("é" * 120 + ".ncv"))
    with files.output_path(tmp_path / ("v" * 251 + ".mp4"), force=False) as path:
        path.write_bytes(b"v")
    assert [len(os.fsencode(name)) for name in names(tmp_path)] == [255, 244]
    with pytest.raises(UsageError, match="too long"):
        write(tmp_path / ("a" * 256))


def test_output_that_is_an_input(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    source.write_bytes(b"x")
    (tmp_path / "hard").hardlink_to(source)
    (tmp_path / "soft").symlink_to(source)
    (tmp_path / "folder").symlink_to(tmp_path)
    for path in (source, tmp_path / "hard", tmp_path / "soft", tmp_path / "folder" / "a.mp4"):
        with pytest.raises(UsageError, match="both an input and the output"):
            files.check_output(path, force=True, inputs=[tmp_path / "absent", source])
    files.check_output(tmp_path / "new", force=False, inputs=[source])


def test_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    with pytest.raises(OutputExistsError):
        files.check_output(tmp_path / "link", force=False)


def test_force_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write(tmp_path / "link", force=True)
    assert (tmp_path / "target").read_bytes() == b"old"
    assert not (tmp_path / "link").is_symlink()


def test_folder_is_replaced_only_if_it_holds_pictures(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.mkdir()
    (path / "1.png").write_bytes(b"old")
    with pytest.raises(OutputExistsError), files.output_folder(path, force=False):
        pass
    with files.output_folder(path, force=True) as folder:
        (folder / "2.png").write_bytes(b"new")
    assert names(path) == ["2.png"]
    (path / "thesis.txt").write_text("three years of work")
    with pytest.raises(UsageError, match="other things"), files.output_folder(path, force=True) as folder:
        (folder / "3.png").write_bytes(b"new")
    assert names(path) == ["2.png", "thesis.txt"]
    assert names(tmp_path) == ["frames"]
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UsageError, match="is a file"), files.output_folder(tmp_path / "file", force=True):
        pass


def no_such_call(*_: object) -> bool:
    return False


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_replaced_folder_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    """Also where the system cannot exchange two names, and through a link."""
    if not exchanges:
        monkeypatch.setattr(files, "exchange", no_such_call)
        monkeypatch.setattr(files, "rename_to_free", no_such_call)
    for path in (tmp_path / "frames", tmp_path / "link"):
        with files.output_folder(tmp_path / "target", force=False) as folder:
            (folder / "1.png").write_bytes(b"old")
        (tmp_path / "target").rename(path) if path.name == "frames" else path.symlink_to(tmp_path / "target")
        with files.output_folder(path, force=True) as folder:
            (folder / "2.png").write_bytes(b"new")
        assert names(path) == ["2.png"]
    assert names(tmp_path) == ["frames", "link", "target"]
    assert names(tmp_path / "target") == ["1.png"]


@pytest.mark.parametrize("step", [1, 2])
def test_a_folder_that_cannot_be_replaced_is_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(files, "exchange", no_such_call)
    path = tmp_path / "frames"
    path.mkdir()
    (path / "1.png").write_bytes(b"old")
    rename, calls = Path.rename, []

    def broken(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == step:
            raise OSError(errno.EIO, "no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(WriteError), files.output_folder(path, force=True) as folder:
        (folder / "2.png").write_bytes(b"new")
    assert names(path) == ["1.png"]
    assert names(tmp_path) == ["frames"]


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("theirs", ["file", "folder"])
def test_a_folder_that_appears_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool, theirs: str
) -> None:
    path = tmp_path / "frames"
    if not exchanges:
        monkeypatch.setattr(files, "rename_to_free", no_such_call)
    real = os.path.lexists

    def appears(where: object) -> bool:
        there = real(path)
        if where == path and not there and any(name.endswith(".part") for name in names(tmp_path)):
            path.write_bytes(b"x") if theirs == "file" else (path.mkdir(), (path / "their.png").write_bytes(b"x"))
        return there

    monkeypatch.setattr(os.path, "lexists", appears)
    with pytest.raises(OutputExistsError), files.output_folder(path, force=False) as folder:
        (folder / "2.png").write_bytes(b"new")
    assert names(tmp_path) == ["frames"]
    assert path.is_file() or names(path) == ["their.png"]


def test_check_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, good = tmp_path / "empty", tmp_path / "good"
    empty.touch()
    good.write_bytes(b"x")
    for path, error, sentence in [
        (tmp_path / "absent", UsageError, "the video .*absent does not exist"),
        (good / "below", UsageError, "does not exist"),
        (tmp_path, UsageError, "is a folder, not a video"),
        (empty, VideoError, "the video .*empty is empty"),
    ]:
        with pytest.raises(error, match=sentence):
            files.check_input(path, "video", empty=VideoError)
    files.check_input(good, "video")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="may not be read"):
        files.check_input(good, "video")
