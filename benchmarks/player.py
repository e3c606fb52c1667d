"""How fast the player decodes in a real browser, and whether it keeps up: frames a second, drops, seconds to seek.

    python benchmarks/player.py bunny:320x180:132

Seals the clip, writes its page, and drives headless Chromium with the client of the tests. "Flat out" lets the page's
own two workers run without waiting for anything to be shown; "playing" presses Play and counts what was drawn. "cpu"
is the processor time of a frame under Node, which a busy machine upsets less. --bundle: one whose key is --key.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from clips import load_frames, parse_clip, write_pngs

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "player"), str(ROOT / "tests")]

from browser import Tab, browser
from chromium import CHROMIUM

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.player.page import player_page

NODE = shutil.which("node")

FLAT_OUT = """(async () => {
  const [bytes, key] = [%(bundle)s, %(key)s].map(text => Uint8Array.from(atob(text), c => c.charCodeAt(0)));
  const parts = JSON.parse(document.getElementById('parts').textContent);
  const url = URL.createObjectURL(new Blob([document.getElementById('program').textContent]));
  const [decoder, repairer] = [new Worker(url), new Worker(url)], { port1, port2 } = new MessageChannel();
  const begun = performance.now();
  repairer.postMessage({ do: 'repair', parts }, [port2]);
  decoder.postMessage({ do: 'decode', bytes: bytes.buffer, name: 'x', parts }, [bytes.buffer, port1]);
  return new Promise((resolve, reject) => {
    const pictures = [];
    let shown = 0, asked = 0, seeks = [];
    decoder.onmessage = ({ data }) => {
      if (data.is === 'locked') decoder.postMessage({ do: 'unlock', key: key.buffer, keyName: 'k', passphrase: '' });
      else if (data.is === 'open') decoder.postMessage({ do: 'show', frame: 0, room: 1e9, run: 1 });
      else reject(new Error(data.message));
    };
    repairer.onmessage = ({ data }) => {
      if (data.run === 1 && data.is === 'picture') pictures.push(performance.now());
      if (data.run === 1 && data.is === 'end') {
        asked = performance.now();
        decoder.postMessage({ do: 'show', frame: pictures.length >> 1, room: 1, run: 2 });
      }
      if (data.run === 2 && data.is === 'picture') {
        const last = pictures[pictures.length - 1];
        [decoder, repairer].forEach(worker => worker.terminate());
        resolve({
          first_picture_s: (pictures[0] - begun) / 1e3,
          frames: pictures.length,
          frames_per_s: (pictures.length - 1) / (last - pictures[0]) * 1e3,
          seek_back_s: (performance.now() - asked) / 1e3,
        });
      }
    };
  });
})()"""

PLAYING = """new Promise(resolve => {
  const canvas = document.getElementById('picture'), seen = [];
  new MutationObserver(() => seen.push([performance.now(), Number(canvas.dataset.frame)]))
    .observe(canvas, { attributes: true, attributeFilter: ['data-frame'] });
  const play = document.getElementById('play');
  play.click();
  const wait = setInterval(() => {
    if (play.textContent !== 'Play') return;
    clearInterval(wait);
    resolve({ drawn: seen.length + 1, took_s: (seen[seen.length - 1][0] - seen[0][0]) / 1e3 });
  }, 50);
})"""


def measure(tab: Tab, page: Path, bundle: bytes, key: Key, key_file: Path) -> dict[str, Any]:
    """Flat out, then playing."""
    tab.open(page.as_uri())
    tab.wait("!document.getElementById('lock').hidden")
    quoted = {"bundle": bundle, "key": key.reveal()}
    fields = {name: json.dumps(base64.b64encode(value).decode()) for name, value in quoted.items()}
    flat = tab.evaluate(FLAT_OUT % fields)
    tab.choose("key", key_file.resolve())
    tab.evaluate("document.getElementById('open').click()")
    tab.wait("document.getElementById('picture').dataset.frame === '0'")
    return {"flat_out": flat, "playing": tab.evaluate(PLAYING)}


def cpu(bundle: Path, key_file: Path) -> dict[str, Any]:
    """Processor time a frame, by stage, in milliseconds; empty without Node."""
    if NODE is None:
        return {}
    package = Path(neuralcipher.__file__).parent
    script = Path(__file__).with_suffix(".mjs")
    command = [NODE, str(script), str(package / "player" / "assets"), str(package / "data"), str(bundle), str(key_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def report(name: str, folder: Path, bundle: Path, key_file: Path) -> None:
    """Measure one bundle and print one line of JSON."""
    data, key = bundle.read_bytes(), Key.read(key_file)
    page = folder / "x.html"
    page.write_text(player_page(data, "x.ncv"), encoding="utf-8")
    about = {"clip": name, "bundle_bytes": len(data), "cores": os.cpu_count(), "cpu": cpu(bundle, key_file)}
    if CHROMIUM:
        version = subprocess.run([CHROMIUM, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        with browser(folder) as tab:
            about |= {"browser": version, **measure(tab, page, data, key, key_file)}
    print(json.dumps({**about, "load": round(os.getloadavg()[0], 1)}), flush=True)


def main() -> None:
    """Measure the clips on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", help="SOURCE:WxH:FRAMES, see clips.py")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--quality", type=int, default=60)
    parser.add_argument("--bundle", type=Path, help="a bundle that is there already")
    parser.add_argument("--key", type=Path)
    arguments = parser.parse_args()
    if arguments.bundle:
        with tempfile.TemporaryDirectory() as name:
            report(arguments.bundle.name, Path(name), arguments.bundle, arguments.key)
    for text in arguments.clips:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_pngs(load_frames(parse_clip(text)), folder / "frames")
            Key.generate().write(folder / "k.bin")
            options = SealOptions(preset=arguments.preset, flow_options={"quality": arguments.quality}, seed=1)
            key = Key.read(folder / "k.bin")
            neuralcipher.seal(folder / "frames", folder / "x.ncv", keys=[key], options=options)
            report(text, folder, folder / "x.ncv", folder / "k.bin")


if __name__ == "__main__":
    main()
