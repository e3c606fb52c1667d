"""`ncipher compare`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuralcipher.cli import completion
from neuralcipher.cli.console import print_json, progress_line, result, result_lines, size_text, tell
from neuralcipher.errors import UsageError
from neuralcipher.process import prepare

if TYPE_CHECKING:
    from neuralcipher.pipeline.comparing import ComparedRow, Comparison

_COLUMNS = {
    "codec": 17,
    "bytes": 8,
    "ratio": 5,
    "dB": 5,
    "SSIM": 6,
    "MS-SSIM": 7,
    "s/frame": 7,
    "fps": 4,
    "weights": 7,
    "keyed": 5,
}
"""Name and width of the table's columns: 80 together, with the spaces between."""


def compare(
    video: Annotated[Path, typer.Argument(help="A video, or a folder of PNG or JPEG frames.")],
    flows: Annotated[
        str, typer.Option(help="Names of flows, with commas between.", autocompletion=completion.several_flows)
    ] = "latent,autoencoder",
    budget: Annotated[float, typer.Option(help="Seconds of fitting for each flow.")] = 30.0,
    scale: Annotated[str | None, typer.Option(help="Shrink to WIDTHxHEIGHT; one may be -1.")] = None,
    max_frames: Annotated[int | None, typer.Option(help="Take only the first so many frames.")] = None,
    generator: Annotated[
        str, typer.Option(help="feistel, autoencoder or chacha20.", autocompletion=completion.generators)
    ] = "feistel",
    seed: Annotated[int, typer.Option(help="Of the training draws.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Write the table and a contact sheet as one HTML page.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write the contact sheet as a PNG file.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the files.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Put a video through several flows, each for the same seconds, and set x264 and AV1 beside them.

    Example: ncipher compare video.mp4 --flows latent,autoencoder --budget 60 --html compared.html
    """
    from neuralcipher.files import check_input, check_output, output_file

    if not video.is_dir():
        check_input(video, "video")
    for path in (html, sheet):
        if path is not None:
            check_output(path, force=force, inputs=[video])
    names = [name.strip() for name in flows.split(",") if name.strip()]
    if not 0 < budget < 10**7:
        raise UsageError(
            f"a budget is a positive number of seconds, not {budget:g}", hint="pass --budget 30, or leave it out"
        )
    prepare()
    from neuralcipher.pipeline.comparing import compare as run

    with progress_line(quiet=quiet or as_json) as progress:
        found = run(
            video,
            names,
            budget_s=budget,
            scale=scale,
            max_frames=max_frames,
            generator=generator,
            seed=seed,
            progress=progress,
        )
    from neuralcipher.cli.sheets import comparison_page, comparison_sheet, png

    if sheet is not None:
        with output_file(sheet, force=force) as file:
            file.write(png(comparison_sheet(found)))
    if html is not None:
        with output_file(html, force=force) as file:
            heads = ["PSNR, dB" if name == "dB" else name for name in _COLUMNS]
            file.write(comparison_page(found, table_cells(found), heads).encode())
    if as_json:
        print_json(fields(found))
        return
    show_table(found)
    if not quiet:
        size = f"{found.frames} frames of {found.width}x{found.height}"
        tell(f"{size}, {found.similarity}; dB is the PSNR; sound is not counted")


def show_table(found: Comparison) -> None:
    """The table on stdout, in 80 columns."""
    result(" ".join(name.ljust(width) for name, width in _COLUMNS.items()).rstrip())
    for cells in table_cells(found):
        _show_row(cells)


def _show_row(cells: list[str]) -> None:
    """A row of the table; a long name goes on in the line below, and so does an error."""
    width = _COLUMNS["codec"]
    first, *more = textwrap.wrap(cells[0], width, break_long_words=False, break_on_hyphens=False) or [""]
    if len(cells) == 2:
        result_lines(f"{cells[0]}: {cells[1]}")
        return
    padded = (cell.ljust(width) for cell, width in zip([first, *cells[1:]], _COLUMNS.values(), strict=True))
    result(" ".join(padded).rstrip())
    for line in more:
        result(f"  {line}")


def fields(found: Comparison) -> dict[str, Any]:
    """The comparison as plain JSON."""
    return {
        "video": found.video,
        "frames": found.frames,
        "width": found.width,
        "height": found.height,
        "budget_s": found.budget_s,
        "similarity": found.similarity,
        "rows": [_row_fields(row) for row in found.rows],
    }


def _row_fields(row: ComparedRow) -> dict[str, Any]:
    if row.error:
        return {"flow": row.codec, "error": row.error}
    return {
        "flow": row.codec,
        "size_bytes": row.size_bytes,
        "ratio": round(row.ratio, 2),
        "psnr_db": round(row.psnr_db, 3),
        "ssim": round(row.ssim, 5),
        "ms_ssim": round(row.ms_ssim, 5),
        "encode_s_per_frame": round(row.encode_s_per_frame, 4),
        "decode_fps": round(row.decode_fps, 1),
        "parameters": row.parameters,
        "keyed": row.keyed,
        "note": row.note,
    }


def table_cells(found: Comparison) -> list[list[str]]:
    """Texts of the table, row by row; a row that failed has its error behind its name."""
    rows = []
    for row in found.rows:
        if row.error:
            rows.append([row.codec, row.error])
            continue
        keyed = {True: "yes", False: "no", None: "-"}[row.keyed]
        rows.append(
            [
                f"{row.codec} {row.note}".rstrip(),
                size_text(row.size_bytes),
                f"{row.ratio:.0f}x",
                f"{row.psnr_db:.2f}",
                f"{row.ssim:.4f}",
                f"{row.ms_ssim:.4f}",
                f"{row.encode_s_per_frame:.3f}",
                f"{row.decode_fps:.0f}",
                _count(row.parameters),
                keyed,
            ]
        )
    return rows


def _count(number: int | None) -> str:
    """In at most 7 characters."""
    if number is None:
        return "-"
    return f"{number:,}" if number < 10**6 else f"{number / 1e6:.2f}M"
