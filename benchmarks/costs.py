"""What sealing an hour, and a million hours, of video costs: computed from measured unit costs and stated prices.

    python benchmarks/costs.py [--core-hour 0.04] [--gigabyte-month 0.02] [--coding 5.0] [--decoding 0.35]

The unit costs are measured by benchmarks/scale.py, rd.py and decoding_child.py; the prices are assumptions of the
reader's choice, in any currency. Nothing here was bought.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from neuralcipher.pipeline.options import PRESETS

PICTURES: Mapping[str, tuple[int, int]] = {"320x180": (320, 180), "1280x720": (1280, 720), "1920x1080": (1920, 1080)}
FRAMES_PER_S = 25
MILLION_HOURS = 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core-hour", type=float, default=0.04, help="price of a core for an hour")
    parser.add_argument("--gigabyte-month", type=float, default=0.02, help="price of storing a gigabyte for a month")
    parser.add_argument("--coding", type=float, required=True, help="core seconds per megapixel, coding alone")
    parser.add_argument("--decoding", type=float, required=True, help="core seconds per megapixel to open")
    parser.add_argument("--bits", type=float, required=True, help="bits per pixel of the bundle")
    parser.add_argument("--reading", type=float, required=True, help="core seconds per megapixel to decode the source")
    options = parser.parse_args()
    print(per_hour(options))
    print(million(options))


def megapixels_per_hour(name: str) -> float:
    width, height = PICTURES[name]
    return 3600 * FRAMES_PER_S * width * height / 1e6


def per_hour(options: argparse.Namespace) -> str:
    """Core hours and price of an hour of video at each preset."""
    lines = ["| picture | preset | core seconds per megapixel | core hours per hour | price |", "|---" * 5 + "|"]
    for name in PICTURES:
        for preset, asked in PRESETS.items():
            each = max(asked, options.coding)
            hours = each * megapixels_per_hour(name) / 3600
            lines.append(f"| {name} | {preset} | {each:.1f} | {hours:,.0f} | {hours * options.core_hour:,.2f} |")
    return "\n".join(lines) + "\n"


def million(options: argparse.Namespace) -> str:
    """A million hours: cores for a year, storage, money, and the work of the driver."""
    heads = ("picture", "preset", "cores for a year", "price of sealing", "bundles", "price of keeping a year")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in PICTURES:
        pixels = megapixels_per_hour(name) * MILLION_HOURS
        terabytes = pixels * 1e6 * options.bits / 8 / 1e12
        keeping = terabytes * 1000 * options.gigabyte_month * 12
        for preset, asked in PRESETS.items():
            hours = max(asked, options.coding) * pixels / 3600
            row = f"| {name} | {preset} | {hours / 8766:,.0f} | {hours * options.core_hour / 1e6:,.2f} million "
            lines.append(f"{row}| {terabytes:,.0f} TB | {keeping:,.0f} |")
    lines += ["", "| picture | cores to decode the source, per 1,000 that fit (fast) | cores to open in real time |"]
    lines.append("|---" * 3 + "|")
    for name in PICTURES:
        fitting = max(PRESETS["fast"], options.coding)
        per_second = megapixels_per_hour(name) / 3600
        row = f"| {name} | {1000 * options.reading / fitting:.1f} | {per_second * options.decoding:.1f} |"
        lines.append(row)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
