"""Contact sheets: rows of pictures under labels, as PNG, and the page of a comparison."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from neuralcipher.pipeline.comparing import Comparison

Picture = NDArray[np.uint8]

_BAND = 16

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 60rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid #8886; }
img { max-width: 100%; image-rendering: pixelated; }
"""


def contact_sheet(rows: Sequence[tuple[str, Sequence[Picture]]]) -> Image.Image:
    """One row of pictures, (H, W, 3) uint8 of one size, under each label."""
    height, width, _ = rows[0][1][0].shape
    columns = max(len(pictures) for _, pictures in rows)
    sheet = Image.new("RGB", (columns * width, len(rows) * (height + _BAND)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (label, pictures) in enumerate(rows):
        top = row * (height + _BAND)
        draw.text((4, top + 2), label, fill="black")
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (column * width, top + _BAND))
    return sheet


def png(image: Image.Image) -> bytes:
    """The image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def comparison_sheet(found: Comparison) -> Image.Image:
    """The truth and what every codec made of it."""
    rows = [
        (f"{row.codec}, {row.psnr_db:.2f} dB in {row.size_bytes:,} bytes", row.shown) for row in found.rows if row.shown
    ]
    return contact_sheet([("truth", found.truth), *rows])


def comparison_page(found: Comparison, cells: Sequence[Sequence[str]], names: Sequence[str]) -> str:
    """One self-contained page: the table, and the contact sheet as a data URI."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = ""
    for row in cells:
        spans = [f"<td>{html.escape(cell)}</td>" for cell in row[:1]]
        spans += [f"<td colspan={len(names) - 1}>{html.escape(row[1])}</td>"] if len(row) == 2 else []
        spans += [f"<td>{html.escape(cell)}</td>" for cell in row[1:]] if len(row) > 2 else []
        body += f"<tr>{''.join(spans)}</tr>\n"
    picture = base64.b64encode(png(comparison_sheet(found))).decode("ascii")
    title = html.escape(f"{found.video}: {found.frames} frames of {found.width}x{found.height}")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>{_STYLE}</style></head><body>
<h1>{title}</h1>
<p>{found.budget_s:g} seconds of fitting for each flow; MS-SSIM is {html.escape(found.similarity)}; sound is not
counted. x264 and AV1 are set to reach the PSNR of the first flow.</p>
<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>
{body}</tbody></table></div>
<p><img alt="Frames of the truth and of every codec" src="data:image/png;base64,{picture}"></p>
</body></html>
"""
