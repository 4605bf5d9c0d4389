"""``edgecolor colorize IN... -o OUT``: pictures and videos with guessed colours, file by file or whole archives."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecolor.errors import ConfigError

if TYPE_CHECKING:
    from edgecolor.archive.display import Display
    from edgecolor.archive.job import Settings
    from edgecolor.archive.run import Run

_LABELS = ("top-left", "top-right", "bottom-left", "bottom-right")
_MOST_JOBS = 256


def add_parser(subparsers: Any) -> None:
    """Register the command and its options."""
    from edgecolor.cli import add_model_options

    parser = subparsers.add_parser(
        "colorize",
        help="colorize pictures, videos and folders of them",
        description="Give gray pictures and videos colours. Luma, EXIF, colour profile (but of CMYK), resolution, transparency, sound and "
        "timestamps are kept; what is in colour already is copied. A run into a folder that was ended, however, goes on when the same "
        "command is given again: files that are done are skipped. Exit code: 0 all done, 1 some failed, 2 wrong usage.",
    )
    parser.add_argument("inputs", nargs="+", metavar="IN", help="pictures (JPEG, PNG, WebP, TIFF, BMP, FITS), videos, or folders of them")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="a folder; or a file when IN is one file")
    parser.add_argument("--format", choices=("jpeg", "png", "webp", "tiff"), help="format of every picture (default: the input's)")
    parser.add_argument("--quality", type=_quality, default=95, metavar="1..100", help="of JPEG and WebP (95); 100 makes WebP lossless")
    parser.add_argument("--overwrite", action="store_true", help="replace all outputs that exist")
    parser.add_argument("--update", action="store_true", help="replace the outputs whose source, settings or model have changed")
    parser.add_argument("--force", action="store_true", help="colorize what is already in colour, from its luma")
    parser.add_argument("--max-megapixels", type=_positive, default=200.0, metavar="N", help="refuse larger pictures (200)")
    run = parser.add_argument_group("run")
    run.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="files at a time, each in a process of its own (1)")
    run.add_argument("--scheduler", metavar="ADDRESS", help="work on a Dask cluster: tls://HOST:PORT, or tcp:// on this machine")
    run.add_argument("--scheduler-unencrypted", action="store_true", help="allow tcp:// to other machines")
    run.add_argument("--part-seconds", type=_positive, default=120.0, metavar="S", help="of long films, on a cluster (120)")
    run.add_argument("--dry-run", action="store_true", help="say what would be done, and write nothing")
    run.add_argument("--json", action="store_true", help="one JSON object a line on stdout: each file, progress, and a summary")
    run.add_argument("--no-space-check", action="store_true", help="start even when the disk looks too small")
    run.add_argument("--quiet", action="store_true", help="print failures only")
    video = parser.add_argument_group("videos")
    video.add_argument("--codec", metavar="NAME", help="of the picture; ffv1 is lossless (default: by the container)")
    video.add_argument("--crf", type=_crf, metavar="0..63", help="constant rate factor: lower is better and larger")
    video.add_argument("--preset", metavar="NAME", help="the encoder's speed: ultrafast ... veryslow")
    video.add_argument("--verify-luma", action="store_true", help="decode the result again and compare its luma with the source's")
    video.add_argument(
        "--every", type=_every, metavar="N", help="guess every so many frames (4), four times a second at least; others follow motion"
    )
    video.add_argument("--smoothing", type=_seconds, metavar="S", help="time constant of colour, seconds; 0 guesses frame by frame")
    video.add_argument("--deinterlace", action="store_true", help="make whole pictures of fields (this changes luma)")
    video.add_argument("--leave-out", action="store_true", help="leave out what the output's container can not hold, instead of failing")
    video.add_argument("--label", choices=_LABELS, help="burn a line that says so into the picture, in that corner")
    c2pa = parser.add_argument_group("signing (C2PA, pip install '.[c2pa]' in a checkout)")
    c2pa.add_argument("--c2pa-certificate", type=Path, metavar="PEM", help="sign each export: the certificate, and those that vouch for it")
    c2pa.add_argument("--c2pa-key", type=Path, metavar="PEM", help="the certificate's private key, readable by its owner only")
    add_model_options(parser)


def _quality(text: str) -> int:
    return _whole(text, 1, 100)


def _jobs(text: str) -> int:
    return _whole(text, 1, _MOST_JOBS)


def _every(text: str) -> int:
    return _whole(text, 1, 1000)


def _crf(text: str) -> float:
    return _number(text, 63)


def _seconds(text: str) -> float:
    return _number(text, 60)


def _number(text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {most:g}")
    return value


def _whole(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
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
    from edgecolor.archive.display import Display
    from edgecolor.archive.manifest import Manifest
    from edgecolor.archive.progress import Progress
    from edgecolor.archive.run import Options, Run, is_video
    from edgecolor.archive.workers import Network
    from edgecolor.catalog import AUTO, choose
    from edgecolor.plan import make_plan

    if arguments.jobs > 1 and arguments.delegate:
        raise ConfigError("--jobs: one process at a time can use a Coral; drop --jobs or --delegate")
    if arguments.scheduler:
        from edgecolor.archive.cluster import check_address

        check_address(arguments.scheduler, unencrypted=arguments.scheduler_unencrypted)
        if arguments.jobs > 1:
            raise ConfigError("--jobs: with --scheduler the cluster's workers decide how many files are worked on at a time")
    plan = make_plan(arguments.inputs, arguments.output, arguments.format)
    with nullcontext() if plan.to_file else Manifest(plan.out, writing=not arguments.dry_run) as manifest:
        if arguments.model == AUTO:  # once, so that every worker takes the same one, and that of the run that goes on here
            newest = manifest.newest if manifest is not None and not arguments.overwrite else None
            choice = choose(arguments.runtime, arguments.threads, arguments.delegate, used=newest.model if newest else "")
            print(f"model {choice.model.name}: {choice.reason}", file=sys.stderr)
            arguments.model = str(choice.model.path)
        settings = _settings(arguments)
        threads = 1 if arguments.threads is None and (arguments.jobs > 1 or arguments.scheduler) else arguments.threads
        network = Network(arguments.model, arguments.runtime, threads, arguments.delegate)
        options = Options(
            arguments.jobs, arguments.overwrite, arguments.update, arguments.dry_run, not arguments.no_space_check,
            arguments.scheduler or "", arguments.part_seconds,
        )  # fmt: skip
        videos = sum(c.size for c in plan.candidates if is_video(c))
        progress = Progress(len(plan.candidates), videos, sum(c.size for c in plan.candidates) - videos, arguments.jobs)
        display = Display(progress, json_lines=arguments.json, quiet=arguments.quiet)
        work = Run(plan, settings, network, options, manifest, display, progress)
        work.go()
    _conclude(work, arguments, display)
    return 1 if work.counts["failed"] or work.counts["left"] else 0


def _settings(arguments: argparse.Namespace) -> Settings:
    from edgecolor.archive.job import Settings
    from edgecolor.assets import load_model

    signature = None
    if arguments.c2pa_certificate or arguments.c2pa_key:
        if not (arguments.c2pa_certificate and arguments.c2pa_key):
            raise ConfigError("--c2pa-certificate and --c2pa-key belong together")
        from edgecolor.signing import Signature, Signer

        signature = Signature(arguments.c2pa_certificate, arguments.c2pa_key)
        Signer(signature)  # what is wrong with them is said before any work
    return Settings(
        str(load_model(arguments.model).card["sha256"]), arguments.format, arguments.quality, arguments.force, arguments.max_megapixels,
        arguments.codec, arguments.crf, arguments.preset, arguments.label, arguments.every, arguments.smoothing, arguments.deinterlace,
        arguments.leave_out, arguments.verify_luma, signature, signature.fingerprint() if signature else "",
    )  # fmt: skip


def _conclude(work: Run, arguments: argparse.Namespace, display: Display) -> None:
    from edgecolor.archive.display import printable, report

    if work.stopped:
        left = work.counts["left"]
        report(f"{work.stopped}; {left} file{'s were' if left != 1 else ' was'} not tried. Make room, and give the same command again")
    if work.only is None or work.counts["failed"] or arguments.json or arguments.dry_run:
        display.summary(work.counts, work.others, work.stopped)
    elif not arguments.quiet:
        source, target, result = work.only
        said = {"copied": "already in colour, left as it is; --force colorizes it", "finished": "done before; --overwrite does it again"}
        if result in said:
            print(f"{printable(str(source))}: {said[result]}", file=sys.stderr)
        print(printable(str(target)))
