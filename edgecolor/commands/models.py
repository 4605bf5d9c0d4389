"""``edgecolor models``: the models that are here, with what their cards say of them and what they cost on this board."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add this command's options."""
    parser = subparsers.add_parser("models", help="list the models with their scores, and their speed on this board")
    parser.add_argument("--runtime", choices=("litert", "tflite"), help="TFLite runtime (default: the first that is installed)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the network (default: one a core; tflite: one a free core)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 when a model can not be used."""
    from edgecolor.catalog import AUTO, choose, list_models, measure_ms, score, share_of_gray
    from edgecolor.errors import ModelError

    rows: list[dict[str, Any]] = []
    for listed in list_models():
        row: dict[str, Any] = {"name": listed.name, "where": listed.where, "path": str(listed.path)}
        if listed.model is None:
            rows.append({**row, "error": listed.wrong})
            continue
        card = listed.model.card
        given = card["contract"]["input"]
        try:
            ms = measure_ms(listed.model, arguments.runtime, arguments.threads)
        except ModelError as error:  # sound, but not for this runtime, which says so in several lines
            rows.append({**row, "error": " ".join(str(error).split())})
            continue
        row |= {
            "sha256": card["sha256"], "bytes": len(listed.model.content), "dtype": given["dtype"],
            "size": [given["shape"][2], given["shape"][1]], "parameters": card.get("network", {}).get("parameters"),
            "macs": card.get("network", {}).get("macs"), "ms": ms, "guesses_per_second": 1000 / ms,
        }
        row |= {figure: score(listed.model, figure) for figure in ("psnr_gain", "colorfulness_share")}
        row |= {"ab_to_gray": share_of_gray(listed.model, "ab_distance"), "frechet_to_gray": share_of_gray(listed.model, "frechet")}
        rows.append(row)
    choice = choose(arguments.runtime, arguments.threads)
    if arguments.json:
        print(json.dumps({"models": rows, AUTO: {"name": choice.model.name, "reason": choice.reason}}, indent=1))
    else:
        _print(rows)
        print(f"--model {AUTO} takes {choice.model.name}: {choice.reason}")
    return 1 if any("error" in row for row in rows) else 0


def _print(rows: list[dict[str, Any]]) -> None:
    head = ("name", "input", "", "MB", "ms here", "guesses/s", "PSNR", "ab", "Frechet", "colour", "SHA-256", "where")
    table = [head]
    for row in rows:
        if "error" in row:
            continue
        table.append((
            row["name"], "x".join(map(str, row["size"])), row["dtype"], f"{row['bytes'] / 1e6:.2f}", f"{row['ms']:.1f}",
            f"{row['guesses_per_second']:.0f}", _figure(row["psnr_gain"], "{:+.2f} dB"), _figure(row["ab_to_gray"], "{:.3f}"),
            _figure(row["frechet_to_gray"], "{:.3f}"), _figure(row["colorfulness_share"], "{:.0%}"), row["sha256"][:12], row["where"],
        ))
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for row in rows:
        if "error" in row:
            print(f"{row['name']}: can not be used: {row['error']}")
    print("PSNR beside gray's, ab and Frechet distance as shares of gray's, colourfulness as a share of the originals', by the cards.")


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
