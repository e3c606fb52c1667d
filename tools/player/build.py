"""Makes what the player ships ready-made, in neuralcipher/player/assets: codec.wasm from native/, vendor.mjs from npm.

    python tools/player/build.py native   # needs ziglang, from PyPI
    python tools/player/build.py vendor   # needs npm

Both come out the same, byte by byte, wherever they are made: the compiler and the packages have one version each, and
package-lock.json holds the digests of what npm may install.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parents[1] / "neuralcipher" / "player" / "assets"
ZIG = "0.13.0"
FEATURES = "generic+simd128+bulk_memory+sign_ext+nontrapping_fptoint"
PACKAGES = ("@noble/ciphers", "@noble/hashes", "hash-wasm")


def native(target: Path) -> None:
    """Compile native/*.c. Raises SystemExit if the compiler is of another version."""
    zig = [sys.executable, "-m", "ziglang"]
    found = subprocess.run([*zig, "version"], capture_output=True, text=True, check=False).stdout.strip()
    if found != ZIG:
        raise SystemExit(f"this needs ziglang {ZIG}, and finds {found or 'none'}: pip install ziglang=={ZIG}")
    sources = sorted(path.name for path in (HERE / "native").glob("*.c"))
    flags = ["-target", "wasm32-freestanding", f"-mcpu={FEATURES}", "-O3", "-Wall", "-Wextra", "-nostdlib"]
    links = ["-Wl,--no-entry", "-Wl,--strip-all"]
    subprocess.run([*zig, "cc", *flags, *links, "-o", str(target), *sources], cwd=HERE / "native", check=True)


def vendor(target: Path) -> None:
    """Install what package-lock.json says, and put it into one module, with the licences before it."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("this needs npm")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json", "entry.mjs"):
            shutil.copy(HERE / "vendor" / name, folder)
        subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)
        bundler = Path(folder, "node_modules", ".bin", "esbuild")
        options = ["--bundle", "--format=esm", "--target=es2022", "--legal-comments=none", "--charset=utf8"]
        options += ["--tree-shaking=true", "--minify-syntax"]
        made = subprocess.run([bundler, "entry.mjs", *options], cwd=folder, check=True, capture_output=True)
        parts = []
        for package in PACKAGES:
            licence = Path(folder, "node_modules", package, "LICENSE").read_text(encoding="utf-8").strip()
            parts.append(f"{package}\n\n{licence}\n")
        head = "/*\n" + "\n---\n\n".join(parts) + "*/\n"
        target.write_text(head + made.stdout.decode("utf-8"), encoding="utf-8")


def main() -> None:
    """Make what is asked for."""
    made = {"native": (native, "codec.wasm"), "vendor": (vendor, "vendor.mjs")}
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in made:
        raise SystemExit(__doc__)
    make, name = made[sys.argv[1]]
    make(Path(sys.argv[2]) if len(sys.argv) == 3 else ASSETS / name)


if __name__ == "__main__":
    main()
