"""Keys and passphrases that would be recognised are looked for wherever a command puts anything."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command import FAST, NCIPHER, run

import neuralcipher

KEY = b"canary-of-the-key-file-32-bytes!"
PHRASE = "canary of the passphrase, 7 words long"
OTHER = b"canary-of-a-second-key-32-bytes!"
FORMS = [
    form
    for secret in (KEY, OTHER, PHRASE.encode())
    for form in (secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret)[:40])
]
SECRET_FILES = {"k.bin", "other.bin", "phrase"}


def secrets_in(data: bytes) -> list[bytes]:
    return [form for form in FORMS if form in data]


class Watcher:
    """Looks at a process and its children while they run: arguments, environment, and files on their way."""

    def __init__(self, process: subprocess.Popen[bytes], folders: list[Path]) -> None:
        self.arguments: set[bytes] = set()
        self.inherited: set[bytes] = set()
        self.modes: set[tuple[str, int]] = set()
        self._process, self._folders, self._end = process, folders, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.05):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    self._look_at(entry)
            for folder in self._folders:
                for path in folder.rglob("*"):
                    try:
                        info = path.lstat()
                    except OSError:
                        continue
                    if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode):
                        self.modes.add((path.name, stat.S_IMODE(info.st_mode)))

    def _look_at(self, entry: Path) -> None:
        try:
            session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            if session == self._process.pid:
                arguments, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
                self.arguments.add(arguments)
                # Between fork and exec, a child is still the command itself.
                if arguments != Path(f"/proc/{self._process.pid}/cmdline").read_bytes():
                    self.inherited.add(environment)
        except (OSError, IndexError, ValueError):  # gone meanwhile, or hidden from us
            return


@pytest.fixture
def canaries(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "tmp").mkdir()
    (work / "video.mp4").write_bytes(neuralcipher.demo_clip().read_bytes())
    for name, data in (("k.bin", KEY), ("other.bin", OTHER), ("phrase", PHRASE.encode())):
        (work / name).write_bytes(data)
        (work / name).chmod(0o600)
    return work


def watched(work: Path, *arguments: str, code: int | None = 0, **environment: str) -> Watcher:
    """Run the command, and look everywhere."""
    scratch = work.parent / "tmp"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NCIPHER_")}
    with subprocess.Popen(
        [NCIPHER, *arguments],
        cwd=work,
        env=kept | {"TMPDIR": str(scratch)} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        watcher = Watcher(process, [work, scratch])
        stdout, stderr = process.communicate(timeout=800)
        watcher.stop()
    assert code is None or process.returncode == code, stderr
    assert secrets_in(stdout + stderr) == []
    assert watcher.arguments
    assert secrets_in(b"\n".join(watcher.arguments)) == []
    assert secrets_in(b"\n".join(watcher.inherited)) == []
    for path in [*work.rglob("*"), *scratch.rglob("*")]:
        if path.is_file() and path.name not in SECRET_FILES:
            assert secrets_in(path.read_bytes()) == [], path
    return watcher


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc here")
def test_no_command_shows_or_leaves_a_secret(canaries: Path) -> None:
    both = ("-k", "k.bin", "--passphrase-file", "phrase")
    sealed = watched(canaries, "seal", "video.mp4", *both, "--json", *FAST)
    assert {mode for name, mode in sealed.modes if name.endswith(".part")} == {0o600}  # temporary files are private
    watched(canaries, "rekey", "video.ncv", "-k", "k.bin", "--add-key", "other.bin", "--json")
    watched(canaries, "info", "video.ncv", "--passphrase-file", "phrase", "--json")
    watched(canaries, "verify", "video.ncv", "--json", NCIPHER_PASSPHRASE=PHRASE)
    watched(canaries, "open", "video.ncv", "-o", "opened.mkv", NCIPHER_KEY="other.bin")
    watched(canaries, "extract-audio", "video.ncv", "-k", "k.bin", "-o", "sound.m4a", "--json")
    watched(canaries, "cut", "video.ncv", "-k", "k.bin", "--segments", "0", "-o", "part.ncv", "--json")
    watched(canaries, "rekey", "video.ncv", "-k", "k.bin", "--rotate", "--json")
    (canaries / "k.bin").write_bytes(KEY[::-1])
    for extra in ((), ("--json",)):
        watched(canaries, "info", "video.ncv", "-k", "k.bin", *extra, code=5)
    (canaries / "k.bin").write_bytes(KEY + b"!")
    watched(canaries, "info", "video.ncv", "-k", "k.bin", code=4)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc here")
def test_no_attack_shows_or_leaves_a_secret(sealed: Path, canaries: Path) -> None:
    """Workers get the credentials over a pipe; the reports and the journal hold none."""
    (canaries / "video.ncv").write_bytes((sealed / "video.ncv").read_bytes())
    watched(canaries, "rekey", "video.ncv", "-k", str(sealed / "k.bin"), "--add-passphrase-file", "phrase")
    reports = ("--json", "r.json", "--html", "r.html", "--resume", "run", "--jobs", "2", "--assume-opened")
    only = ("--only", "cycles", "--only", "avalanche")
    seen = watched(canaries, "attack", "video.ncv", *reports, *only, code=None, NCIPHER_PASSPHRASE=PHRASE)
    assert seen.inherited, "no worker was seen"
    assert (canaries / "r.json").exists()
    assert (canaries / "r.html").exists()


BROKEN = """
import sys
from neuralcipher import cli
from neuralcipher.container import reading

def broken(self, credentials):
    credential = credentials[0]
    secret = credential.reveal()
    text = secret.hex()
    raise RuntimeError("something that nobody thought of")

reading.BundleReader.unlock = broken
sys.argv = ["ncipher", *sys.argv[1:]]
cli.main()
"""


@pytest.mark.parametrize("options", [(), ("-X", "faulthandler"), ("-X", "dev")])
def test_a_bug_shows_no_locals(sealed: Path, canaries: Path, options: tuple[str, ...]) -> None:
    """A traceback names lines, and neither values nor arguments; no library has put another hook in place."""
    bundle = str(sealed / "video.ncv")
    for key in (("-k", "k.bin"), ("--passphrase-file", "phrase")):
        command = [sys.executable, *options, "-c", BROKEN, "info", bundle, *key]
        done = subprocess.run(command, cwd=canaries, capture_output=True, check=False)
        assert done.returncode == 1
        assert b"something that nobody thought of" in done.stderr
        assert b"Traceback" in done.stderr
        assert secrets_in(done.stdout + done.stderr) == []
        assert b"locals" not in done.stderr


DUMPABLE = """
import ctypes, resource, sys
from neuralcipher import cli
from neuralcipher.keys import Key
sys.argv = ["ncipher", *sys.argv[1:]]
real = Key.read
def read(path):
    print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
    return real(path)
Key.read = read
cli.main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux")
def test_no_core_is_dumped_once_a_key_is_read(sealed: Path) -> None:
    command = [sys.executable, "-c", DUMPABLE, "info", "video.ncv", "-k", "k.bin"]
    done = subprocess.run(command, cwd=sealed, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "(0, 0) 0"


def test_a_weak_passphrase_gets_a_word_and_is_taken(sealed: Path, tmp_path: Path) -> None:
    for name in ("video.mp4", "video.ncv", "k.bin"):
        (tmp_path / name).write_bytes((sealed / name).read_bytes())
        (tmp_path / name).chmod(0o600)
    (tmp_path / "weak").write_text("password1")
    (tmp_path / "weak").chmod(0o644)
    (tmp_path / "strong").write_text(PHRASE)
    (tmp_path / "strong").chmod(0o600)
    rekey = ("rekey", "video.ncv", "-k", "k.bin", "--add-passphrase-file")
    said = run(*rekey, "weak", cwd=tmp_path).stderr
    assert "may be easy to guess" in said
    assert "the passphrase file weak can be used by others" in said
    assert "password1" not in said
    assert run(*rekey, "strong", cwd=tmp_path).stderr == ""
    # The one that opens is not judged again.
    assert "guess" not in run("info", "video.ncv", "--passphrase-file", "weak", cwd=tmp_path).stderr
    (tmp_path / "video.mp4").write_text("not a video")
    seal = ("seal", "video.mp4", "-o", "n.ncv")
    weak = {"NCIPHER_PASSPHRASE": "password1"}
    assert "may be easy to guess" in run(*seal, cwd=tmp_path, env=weak, code=4).stderr
    assert "guess" not in run(*seal, "--quiet", cwd=tmp_path, env=weak, code=4).stderr
