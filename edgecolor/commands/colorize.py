"""``edgecolor colorize IN... -o OUT``: pictures with guessed colours, file by file or folder by folder."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from edgecolor.errors import EdgeColorError, PictureError

if TYPE_CHECKING:
    from edgecolor.colorizer import Colorizer
    from edgecolor.plan import Job

_BAR_WIDTH = 30


def add_parser(subparsers: Any) -> None:
    """Register the command and its options."""
    from edgecolor.cli import add_model_options

    parser = subparsers.add_parser(
        "colorize",
        help="colorize pictures",
        description="Give gray pictures colours. Luma, EXIF, colour profile, resolution and transparency are kept; pictures that are "
        "in colour already are copied. Exit code: 0 all done, 1 some failed, 2 wrong usage.",
    )
    parser.add_argument("inputs", nargs="+", metavar="IN", help="pictures (JPEG, PNG, WebP, TIFF, BMP) or folders of them")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="a folder; or a file when IN is one file")
    parser.add_argument("--format", choices=("jpeg", "png", "webp", "tiff"), help="format of every output (default: the input's)")
    parser.add_argument("--quality", type=_quality, default=95, metavar="1..100", help="of JPEG and WebP (95); 100 makes WebP lossless")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--force", action="store_true", help="colorize pictures that are already in colour, from their luma")
    parser.add_argument("--max-megapixels", type=_positive, default=200.0, metavar="N", help="refuse larger pictures (200)")
    parser.add_argument("--quiet", action="store_true", help="print failures only")
    add_model_options(parser)


def _quality(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 100")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Colorize; returns 0, or 1 when a file failed. Raises ConfigError, ModelError and the like before any work."""
    from edgecolor.colorizer import Colorizer
    from edgecolor.plan import make_plan

    plan = make_plan(arguments.inputs, arguments.output, arguments.format, overwrite=arguments.overwrite)
    for failure in plan.failures:
        _report(str(failure))
    counts: Counter[str] = Counter(failed=len(plan.failures))
    colorizer = None
    if plan.jobs:
        colorizer = Colorizer(arguments.model, arguments.runtime, arguments.threads, arguments.delegate)
    bar = not arguments.quiet and sys.stderr.isatty() and len(plan.jobs) > 1
    for number, job in enumerate(plan.jobs):
        if bar:
            _draw_bar(number, len(plan.jobs), job.source.name)
        assert colorizer is not None
        try:
            counts[_process(job, colorizer, arguments)] += 1
        except (EdgeColorError, MemoryError) as error:
            counts["failed"] += 1
            _report(_reason(job, error), over_bar=bar)
    if bar:
        _clear_line()
    if not arguments.quiet:
        if plan.single and plan.jobs and not counts["failed"]:
            if counts["copied"]:
                print(f"{_printable(str(plan.jobs[0].source))}: already in colour, left as it is; --force colorizes it", file=sys.stderr)
            print(_printable(str(plan.jobs[0].target)))
        else:
            print(_summary(counts, plan.others))
    return 1 if counts["failed"] else 0


def _process(job: Job, colorizer: Colorizer, arguments: argparse.Namespace) -> str:
    """Do one job; returns "colorized" or "copied"."""
    from edgecolor.monochrome import is_monochrome
    from edgecolor.pictures import colorize_picture, transcode_picture
    from edgecolor.sinks.files import write_file
    from edgecolor.sources.images import open_picture

    picture = open_picture(job.source, arguments.max_megapixels)
    gray = arguments.force or is_monochrome(picture.sample)
    if gray:
        content = colorize_picture(picture, colorizer, job.format, arguments.quality)
    elif job.format == picture.header.format:
        content = picture.data
    else:
        content = transcode_picture(picture, job.format, arguments.quality)
    write_file(job.target, content, overwrite=arguments.overwrite)
    return "colorized" if gray else "copied"


def _reason(job: Job, error: EdgeColorError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        error = PictureError("there is not enough memory for it")
    text = str(error)
    return text if text.startswith(f"{job.source}: ") else f"{job.source}: {text}"


def _summary(counts: Counter[str], others: int) -> str:
    parts = [f"{counts['colorized']} colorized"]
    if counts["copied"]:
        parts.append(f"{counts['copied']} already in colour (copied)")
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    if others:
        parts.append(f"{others} other file{'s' * (others > 1)} skipped")
    return ", ".join(parts)


def _printable(text: str) -> str:
    """Text in which what a terminal would act on, or could not show, is escaped: file names may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _report(message: str, over_bar: bool = False) -> None:
    if over_bar:
        _clear_line()
    print(f"edgecolor colorize: {_printable(message)}", file=sys.stderr)


def _clear_line() -> None:
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _draw_bar(done: int, total: int, name: str) -> None:
    filled = _BAR_WIDTH * done // total
    bar = "#" * filled + "." * (_BAR_WIDTH - filled)
    print(f"\r\x1b[K[{bar}] {done}/{total} {_printable(name)[:40]}", end="", file=sys.stderr, flush=True)
