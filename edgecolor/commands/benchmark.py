"""``edgecolor benchmark``: milliseconds per stage on this board, and the frame rate they allow."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edgecolor.assets import PACKAGE

REFERENCE = PACKAGE.parent / "tests" / "benchmarks" / "mobilenet_v2_1.0_224_int8.tflite"


def add_parser(subparsers: Any) -> None:
    """Add this command's options."""
    from edgecolor.cli import add_model_options

    parser = subparsers.add_parser("benchmark", help="time every stage of a live frame on this board")
    add_model_options(parser, threads="1")
    parser.add_argument("--reference", type=Path, metavar="FILE", help="any .tflite to compare with (a checkout has MobileNetV2)")
    parser.add_argument("--rounds", type=int, default=60, help="measurements of each stage; their median counts (default 60)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of a table")
    form.add_argument("--report", action="store_true",
                      help="print Markdown to tell others: the board, what it runs, and the figures; nothing that names you")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    import cv2

    from edgecolor.benchmark import SIZES, describe_model, load_reference, measure
    from edgecolor.colorizer import Colorizer
    from edgecolor.report import describe_board, describe_heat, describe_run, read_heat, render

    cv2.setNumThreads(1)  # one thread per stage, so that stages compare with each other
    threads = arguments.threads or 1
    colorizer = Colorizer(arguments.model, arguments.runtime, threads, arguments.delegate)
    path = arguments.reference or (REFERENCE if REFERENCE.is_file() else None)
    reference = load_reference(path, arguments.runtime, threads) if path else None
    about = describe_model(colorizer)
    before = read_heat() if arguments.report else None
    timings = [measure(colorizer, reference, size, max(3, arguments.rounds)) for size in SIZES]
    if before is not None:
        facts = {**describe_board(), **describe_run(about), **describe_heat(before, read_heat())}
        print(render(facts, timings, path.stem if path else None))
        return 0
    if arguments.json:
        rows = [{"width": t.size[0], "height": t.size[1], "ms": t.stages, "total_ms": t.total, "frames_per_second": 1000 / t.total,
                 "reencode_ms": t.reencode, "beside_network_to_reencode": t.beside_network, "reference_ms": t.reference,
                 "network_to_reference": t.stages["lookup + invoke"] / t.reference if t.reference else None} for t in timings]
        print(json.dumps({**about, "reference": path.name if path else None, "frames": rows}, indent=1))
        return 0
    print(f"{about['model']} ({about['sha256'][:12]}), {about['runtime']}, {threads} thread(s), "
          f"{'XNNPACK or delegate in effect' if about['delegated'] else 'no delegate in effect'}")
    print("median ms".ljust(34) + "".join(f"{t.size[0]}x{t.size[1]}".rjust(12) for t in timings))
    for name in timings[0].stages:
        print(name.ljust(34) + "".join(f"{t.stages[name]:12.2f}" for t in timings))
    print("all stages".ljust(34) + "".join(f"{t.total:12.2f}" for t in timings))
    print("frames per second".ljust(34) + "".join(f"{1000 / t.total:12.1f}" for t in timings))
    print("plain JPEG re-encode".ljust(34) + "".join(f"{t.reencode:12.2f}" for t in timings))
    print("beside the network / re-encode".ljust(34) + "".join(f"{t.beside_network:12.2f}" for t in timings))
    if reference and path:
        print(f"{path.stem}"[:33].ljust(34) + "".join(f"{t.reference or 0:12.2f}" for t in timings))
        print("network / reference".ljust(34) + "".join(f"{t.stages['lookup + invoke'] / (t.reference or 1):12.2f}" for t in timings))
    else:
        print("no reference network: give one with --reference FILE.tflite")
    return 0
