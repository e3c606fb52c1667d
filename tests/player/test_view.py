"""`ncipher player` and `ncipher view` as a user runs them: the file, the server, and who may ask it for the page."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from player_bundles import CHEAP, KEY

from neuralcipher.container import BundleWriter

NCIPHER = str(Path(sys.executable).with_name("ncipher"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view")
    with (folder / "video.ncv").open("wb") as file:
        BundleWriter.create_sealed(file, [KEY], argon2=CHEAP).finish({"title": "x"})
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [NCIPHER, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_the_page_is_written_once_and_holds_no_key(folder: Path) -> None:
    done = run(folder, "player", "video.ncv", "--json")
    page = folder / "video.html"
    assert json.loads(done.stdout) == {"page": "video.html", "size_bytes": page.stat().st_size}
    again = run(folder, "player", "video.ncv", "-o", "video.html")
    assert again.returncode == 6
    assert run(folder, "player", "video.ncv", "-o", "video.ncv", "--force").returncode == 2
    assert b"video.ncv" in page.read_bytes()


def test_what_is_no_bundle_is_refused(folder: Path) -> None:
    (folder / "text.ncv").write_text("no bundle")
    done = run(folder, "player", "text.ncv", "-o", "text.html")
    assert done.returncode == 4
    assert "text.ncv is not a neuralcipher bundle" in done.stderr
    assert not (folder / "text.html").exists()


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [NCIPHER, "view", "video.ncv", "--no-browser", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["url"]
        if process.poll() is None:
            os.kill(process.pid, signal.SIGINT)


def ask(url: str, path: str | None = None, *, method: str = "GET", host: str | None = None) -> tuple[int, bytes, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    headers = {} if host is None else {"Host": host}
    connection.request(method, parts.path if path is None else path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers.get("Cache-Control", "")
    connection.close()
    return found


def test_only_who_knows_the_path_gets_the_page(served: tuple[subprocess.Popen[str], str]) -> None:
    _, url = served
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1"
    assert len(parts.path) > 40
    status, body, cache = ask(url)
    assert (status, cache) == (200, "no-store")
    assert b'id="bundle"' in body
    for path in ("/", "/favicon.ico", parts.path[:-1], parts.path[:-2] + "/", parts.path + "x"):
        status, body, _ = ask(url, path)
        assert status == 404, path
        assert b"bundle" not in body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", ""])
def test_another_host_gets_nothing(served: tuple[subprocess.Popen[str], str], host: str) -> None:
    status, body, _ = ask(served[1], host=host)
    assert status == 421
    assert b"bundle" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_other_methods_are_refused(served: tuple[subprocess.Popen[str], str], method: str) -> None:
    assert ask(served[1], method=method)[0] == 501


def test_it_listens_on_loopback_and_ends_with_an_interrupt(served: tuple[subprocess.Popen[str], str]) -> None:
    process, url = served
    ask(url)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "served until ^C" in told
    assert urlsplit(url).path not in told
    with pytest.raises(OSError, match="refused"):
        ask(url)
