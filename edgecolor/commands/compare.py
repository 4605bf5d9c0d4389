"""``edgecolor compare A B -o page.html``: two pictures, videos or folders, for a person to look at."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from edgecolor.errors import ConfigError, EdgeColorError, OutputError

_SHEET_SUFFIXES = (".jpg", ".jpeg", ".png")
_SHEET_WIDTH = 640
_HIGHEST_JPEG = 65_500  # pixels, of libjpeg


def add_parser(subparsers: Any) -> None:
    """Register the command and its options."""
    parser = subparsers.add_parser(
        "compare",
        help="look at two pictures, videos or folders beside each other",
        description="Makes a page with a slider over each pair, in one file that needs nothing from anywhere, and a contact sheet. In "
        "folders files with the same path belong together, and of the others those whose suffixes alone differ. Exit code: 0 all done, "
        "1 some failed, 2 wrong usage.",
    )
    parser.add_argument("a", metavar="A", type=Path, help="a picture, a video, or a folder of them: before")
    parser.add_argument("b", metavar="B", type=Path, help="the same of the other side: after")
    parser.add_argument("-o", "--output", type=Path, metavar="PAGE", help="the page (.html)")
    parser.add_argument("--sheet", type=Path, metavar="PICTURE", help="the contact sheet (.jpg or .png)")
    parser.add_argument("--frames", type=_count, default=4, metavar="N", help="moments of each video (4)")
    parser.add_argument("--most", type=_count, default=50, metavar="N", help="pairs at most, evenly chosen (50)")
    parser.add_argument("--width", type=_count, default=960, metavar="PIXELS", help="of the page's pictures at most (960)")
    parser.add_argument("--overwrite", action="store_true", help="replace page and sheet if they exist")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 10000")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Write page and sheet; returns 1 when a pair could not be read. Raises ConfigError, OutputError."""
    import cv2

    from edgecolor.archive.display import printable
    from edgecolor.comparison import View, find_pairs, page, sheet, views
    from edgecolor.sinks.files import write_file

    page_path, sheet_path = arguments.output, arguments.sheet
    if page_path is None and sheet_path is None:
        raise ConfigError("say what to make: a page (-o page.html), a contact sheet (--sheet sheet.jpg), or both")
    if sheet_path is not None and sheet_path.suffix.lower() not in _SHEET_SUFFIXES:
        raise ConfigError(f"{sheet_path}: a contact sheet is one of {', '.join(_SHEET_SUFFIXES)}")
    for path in (page_path, sheet_path):
        if path is not None and os.path.lexists(path) and not arguments.overwrite:
            raise OutputError(f"{path}: exists already; --overwrite replaces it")
    pairs, alone = find_pairs(arguments.a, arguments.b)
    for path in alone:
        print(f"edgecolor compare: {printable(str(path))}: only one side has it, or several of one side fit", file=sys.stderr)
    step = max(1, -(-len(pairs) // arguments.most))
    shown: list[View] = []
    failed = 0
    for name, a, b in pairs[::step]:
        try:
            shown += views(name, a, b, arguments.width, arguments.frames)
        except EdgeColorError as error:
            failed += 1
            print(f"edgecolor compare: {printable(str(error))}", file=sys.stderr)
    if shown and page_path is not None:
        write_file(page_path, page(str(arguments.a), str(arguments.b), shown).encode("utf-8", "replace"), overwrite=arguments.overwrite)
        print(printable(str(page_path)))
    if shown and sheet_path is not None:
        made = sheet(shown, _SHEET_WIDTH)
        if sheet_path.suffix.lower() != ".png" and made.shape[0] > _HIGHEST_JPEG:
            raise OutputError(f"{sheet_path}: {made.shape[0]} pixels are too high for JPEG; use a .png, or a smaller --most or --frames")
        encoded = cv2.imencode(sheet_path.suffix.lower(), made)[1]
        write_file(sheet_path, encoded.tobytes(), overwrite=arguments.overwrite)
        print(printable(str(sheet_path)))
    return 1 if failed else 0
