"""What every command prints with `--json`, against neuralcipher/data/output.schema.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from in_process import Here

import neuralcipher
from neuralcipher import Key, SealOptions, cli
from neuralcipher.player import server

SCHEMA = json.loads((Path(neuralcipher.__file__).parent / "data" / "output.schema.json").read_text(encoding="utf-8"))
TINY = ("--max-frames", "2", "--scale", "32x-1", "--generator", "chacha20", "--budget", "0.1")


def valid(name: str, text: str) -> dict[str, Any]:
    """The object that a command printed, if it fits the definition."""
    fields: dict[str, Any] = json.loads(text)
    jsonschema.validate(fields, {**SCHEMA, "anyOf": [{"$ref": f"#/$defs/{name}"}]})
    return fields


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    shutil.copy(neuralcipher.demo_clip(), folder / "video.mp4")
    Key(bytes(range(32))).write(folder / "k.bin")
    options = SealOptions(max_frames=4, segment_frames=2, scale="32x-1", generator="chacha20", budget_s=0.1)
    neuralcipher.seal(folder / "video.mp4", folder / "v.ncv", keys=[Key(bytes(range(32)))], options=options)
    return folder


@pytest.fixture
def ncipher(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    shutil.copytree(made, tmp_path / "work")
    return Here(tmp_path / "work", capsys)


def test_the_schema_is_one_and_is_closed() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    good = {"output": "v.mp4", "frames": 1, "seconds": 0.5}
    valid("open", json.dumps(good))
    for bad in ({**good, "more": 1}, {**good, "frames": "1"}, {"output": "v.mp4"}):
        with pytest.raises(jsonschema.ValidationError):
            valid("open", json.dumps(bad))


def test_every_command_with_json_has_a_definition() -> None:
    group: Any = typer.main.get_command(cli.app)
    printing = {name for name, command in group.commands.items() if any("--json" in p.opts for p in command.params)}
    assert printing > {"seal", "open", "attack"}
    assert {f"#/$defs/{name}" for name in printing - {"attack"}} < {part["$ref"] for part in SCHEMA["anyOf"]}


def test_keys_and_sealing(ncipher: Here) -> None:
    assert valid("keygen", ncipher("keygen", "new.bin", "--json").stdout) == {"key": "new.bin"}
    sealed = valid("seal", ncipher("seal", "video.mp4", "-k", "k.bin", *TINY, "--json").stdout)
    assert (sealed["frames"], sealed["width"], sealed["suite"]) == (2, 32, "sealed")
    with pytest.raises(jsonschema.ValidationError):
        valid("seal", json.dumps({**sealed, "more": 1}))
    slots = valid("rekey", ncipher("rekey", "video.ncv", "-k", "k.bin", "--add-key", "new.bin", "--json").stdout)
    assert slots["slots"] == ["key", "key"]


def test_several_videos(ncipher: Here) -> None:
    (ncipher.folder / "bad.mp4").write_text("no video")
    shutil.copy(ncipher.folder / "v.ncv", ncipher.folder / "other.ncv")
    shutil.copy(ncipher.folder / "video.mp4", ncipher.folder / "other.mp4")
    folder = ("--output-dir", ".", "--skip-existing", "--json")
    done = ncipher("seal", "video.mp4", "bad.mp4", "other.mp4", "-k", "k.bin", *TINY, *folder, code=1)
    sealed, failed, skipped = (valid("seal-line", line) for line in done.stdout.splitlines())
    assert (sealed["frames"], failed["exit_code"], skipped["skipped"]) == (2, 4, True)
    with pytest.raises(jsonschema.ValidationError):
        valid("seal-line", json.dumps({**sealed, "skipped": True, "more": 1}))
    with pytest.raises(jsonschema.ValidationError):
        valid("seal-line", json.dumps({"file": "a.mp4"}))


def test_opening_and_what_is_inside(ncipher: Here) -> None:
    opened = valid("open", ncipher("open", "v.ncv", "-k", "k.bin", "-o", "v.mp4", "--json").stdout)
    assert opened["frames"] == 4
    assert "name" not in valid("info", ncipher("info", "v.ncv", "--json").stdout)
    assert valid("info", ncipher("info", "v.ncv", "-k", "k.bin", "--json").stdout)["name"] == "video.mp4"
    assert valid("extract-audio", ncipher("extract-audio", "v.ncv", "-k", "k.bin", "--json").stdout)["packets"] > 0
    assert valid("player", ncipher("player", "v.ncv", "--json").stdout)["page"] == "v.html"


def test_whole_and_damaged(ncipher: Here) -> None:
    assert valid("verify", ncipher("verify", "v.ncv", "-k", "k.bin", "--json").stdout)["whole"] is True
    data = bytearray((ncipher.folder / "v.ncv").read_bytes())
    data[-2000] ^= 1
    (ncipher.folder / "v.ncv").write_bytes(data)
    damaged = valid("verify", ncipher("verify", "v.ncv", "-k", "k.bin", "--json", code=4).stdout)
    assert damaged["problems"]


def test_reports(ncipher: Here) -> None:
    alone = valid("report", ncipher("report", "v.ncv", "-k", "k.bin", "--json").stdout)
    assert (alone["report"], alone["frames"], alone["psnr_db"]) == ("v.report.html", 4, None)
    beside = ncipher("report", "v.ncv", "-k", "k.bin", "--video", "video.mp4", "-o", "w.html", "--json").stdout
    assert valid("report", beside)["psnr_db"] > 10


def test_cut_and_joined(ncipher: Here) -> None:
    cut = ncipher("cut", "v.ncv", "-k", "k.bin", "--segments", "0", "-o", "a.ncv", "--json")
    assert valid("cut", cut.stdout)["frames"] == 2
    ncipher("cut", "v.ncv", "-k", "k.bin", "--segments", "1", "-o", "b.ncv")
    joined = ncipher("join", "a.ncv", "b.ncv", "-k", "k.bin", "-o", "c.ncv", "--json")
    assert valid("join", joined.stdout)["segments"] == 2


def test_errors(ncipher: Here) -> None:
    assert valid("error", ncipher("open", "no.ncv", "--json", code=2).stdout)["exit_code"] == 2
    Key(bytes(32)).write(ncipher.folder / "wrong.bin")
    wrong = ncipher("open", "v.ncv", "-k", "wrong.bin", "-o", "n.mp4", "--json", code=5)
    assert valid("error", wrong.stdout)["exit_code"] == 5


def test_comparing(ncipher: Here) -> None:
    small = ("--scale", "32x-1", "--max-frames", "2", "--budget", "0.1", "--generator", "chacha20", "--json")
    rows = valid("compare", ncipher("compare", "video.mp4", "--flows", "latent", *small).stdout)["rows"]
    assert rows[0]["flow"] == "latent"


def test_the_demo(ncipher: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    ncipher("open", "v.ncv", "-k", "k.bin", "-o", "small.mp4")
    monkeypatch.setattr(neuralcipher, "demo_clip", lambda: ncipher.folder / "small.mp4")
    shown = valid("demo", ncipher("demo", "--budget", "0.1", "--json").stdout)
    assert (shown["frames"], shown["folder"]) == (4, "ncipher-demo")


def test_the_view(ncipher: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: server.PageServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server.PageServer, "serve_forever", stop)
    valid("view", ncipher("view", "v.ncv", "--no-browser", "--json").stdout)


def test_the_list_of_attacks(ncipher: Here) -> None:
    assert len(valid("attack-list", ncipher("attack", "--list", "--json", "-").stdout)["attacks"]) >= 25
