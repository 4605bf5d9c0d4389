"""``python -m convert COMMAND``: from pictures to a model with its card. ``--help`` lists the commands."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from edgecolor.allocator import keep_freed
from edgecolor.errors import ConfigError, EdgeColorError, ModelError

_SHEET_PICTURES = 24
_WORST_PICTURES = 20
_SQNR_PICTURES = 16
_GUARD_PICTURES = 160


def _size(text: str) -> tuple[int, int]:
    """"192" or "320x192" (width x height) -> (height, width)."""
    try:
        sides = [int(part) for part in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 192 or 320x192")
    return sides[-1], sides[0]


def _file(suffix: str) -> Callable[[str], Path]:
    """The type of an option that names a file to write."""

    def path(text: str) -> Path:
        if Path(text).suffix != suffix:
            raise argparse.ArgumentTypeError(f"{text!r} does not end in {suffix}")
        return Path(text)

    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convert", description="Train, score and convert EdgeColor's networks.")
    commands = parser.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train a network; call again to resume")
    train.add_argument("--config", type=Path, required=True, help="TOML file, see convert/configs")
    train.add_argument("--data", help="folder of pictures, or of zips of pictures, instead of the configured one")
    train.add_argument("--validation", help="folder of validation pictures instead of the configured one")
    train.add_argument("--out", help="folder of the run instead of the configured one")

    finetune = commands.add_parser("finetune", help="make a site model: edgecolor with one fixed camera's own colours")
    finetune.add_argument("--from", dest="base", default="edgecolor", metavar="MODEL",
                          help="packed float weights: a .keras file, or the name of one in models/ (default edgecolor)")
    finetune.add_argument("--video", type=Path, nargs="+", required=True, help="footage of the camera by day, in the order of time")
    finetune.add_argument("--minutes", type=float, default=20, help="how long to train (default %(default)g)")
    finetune.add_argument("--size", type=_size, default=(192, 192), help="input size of the network, a square (default 192)")
    finetune.add_argument("--data", type=Path, help="varied colour pictures to rehearse (default: those that the model was trained on)")
    finetune.add_argument("--validation", type=Path, help="others to check that nothing was forgotten (default: a tenth of --data)")
    finetune.add_argument("-o", "--out", type=_file(".tflite"), required=True, help="site.tflite; call again to resume what is in site.run")

    average = commands.add_parser("average", help="average the weights of several stages of one run into a run's folder of its own")
    average.add_argument("run", type=Path, help="the run's folder")
    average.add_argument("stages", nargs="+", metavar="STAGE", help="folders of stages in it, as 1-pale128")
    average.add_argument("-o", "--out", type=Path, required=True, help="folder to write, to be exported, packed or trained on")

    ensemble = commands.add_parser("ensemble", help="join networks of the same bins into one that says their mean: a teacher")
    ensemble.add_argument("weights", nargs="+", type=Path, help=".keras files, packed or in their run's folder")
    ensemble.add_argument("-o", "--out", type=Path, required=True, help="folder to write, as a run's; a teacher is its weights.keras")

    evaluate = commands.add_parser("evaluate", help="score models beside the gray input and the shipped seed network")
    evaluate.add_argument("models", nargs="+", help=".keras, .tflite, or the name of a shipped model")
    evaluate.add_argument("--data", type=Path, action="append", required=True, help="folder of pictures; may be given several times")
    evaluate.add_argument("--pale", type=Path, action="append", default=[], help="folder of pictures that should stay pale")
    evaluate.add_argument("--size", type=_size, default=(192, 192), help="input size of .keras networks (default 192)")
    evaluate.add_argument("--limit", type=int, default=0, help="score at most this many pictures of each folder")
    evaluate.add_argument("--small", nargs="+", default=[], metavar="ROW", help="with --bars: int8 models to judge as small networks")
    evaluate.add_argument("--bars", action="store_true", help="judge int8 models by the project's bars (in full on the first --data)")
    evaluate.add_argument("--reference", type=Path, help="int8 .tflite that times are compared with (default: the benchmarks' MobileNetV2)")
    evaluate.add_argument("--json", type=Path, help="write figures, intervals and each picture's figures here")
    evaluate.add_argument("--markdown", type=Path, help="write the tables here too")
    evaluate.add_argument("--sheet", type=Path, help="write a contact sheet here: gray, each model, original")
    evaluate.add_argument("--worst", type=Path, help="write the last model's 20 worst pictures here")

    export = commands.add_parser("export", help="convert weights to int8 and float32 TFLite, with cards")
    export.add_argument("weights", type=Path, help="a run's folder, or a packed NAME.keras beside its NAME.config.json")
    export.add_argument("-o", "--out", type=_file(".tflite"), required=True, help="models/NAME.tflite")
    export.add_argument("--size", type=_size, action="append", help="192 (default) or 320x192; each further one makes NAME-WxH.tflite")
    export.add_argument("--data", type=Path, help="where representative pictures are drawn (default: the run's training data)")
    export.add_argument("--pictures", type=int, default=500, help="how many representative pictures")
    export.add_argument("--layers", type=Path, help="write the signal-to-quantization-noise ratio of every layer here, as JSON")

    operators = commands.add_parser("operators", help="list a model's operators: cheap, dear, wrong, refused by the Edge TPU")
    operators.add_argument("models", nargs="+", help="path of a .tflite file, or a model's name")

    coral = commands.add_parser("edgetpu", help="predict what of a model runs on a Coral; compile it where edgetpu_compiler is installed")
    coral.add_argument("model", help="path of an int8 .tflite file with its card, or a model's name")
    coral.add_argument("-o", "--out", type=Path, help="folder for NAME_edgetpu.tflite and its card (default: beside the model)")
    coral.add_argument("--predict", action="store_true", help="predict only")

    pack = commands.add_parser("pack", help="store a run's float weights, its gain in them, as float16, with the configuration beside them")
    pack.add_argument("run", type=Path, help="a run's folder")
    pack.add_argument("-o", "--out", type=_file(".keras"), required=True, help="models/NAME.keras")

    card = commands.add_parser("card", help="show a model's card, or add figures to it")
    card.add_argument("model", help="path of a .tflite file, or a model's name")
    card.add_argument("--scores", type=Path, action="append", default=[], help="JSON of evaluate; may be given several times")
    card.add_argument("--rows", nargs="+", default=[], metavar="KIND=ROW", help="which rows to keep, e.g. int8=edgecolor.tflite gray=gray")

    pale = commands.add_parser("pale", help="make a set of pictures that should stay pale, for evaluate --pale")
    pale.add_argument("--data", type=Path, action="append", required=True, help="folder of colour pictures; may be given several times")
    pale.add_argument("--documents", type=int, default=24, help="how many drawn pages to add (default %(default)s)")
    pale.add_argument("-o", "--out", type=Path, required=True, help="folder to write into")

    sheet = commands.add_parser("sheet", help="a picture to look at: gray, each model, original")
    sheet.add_argument("models", nargs="+", help=".keras, .tflite, or the name of a shipped model")
    sheet.add_argument("--data", type=Path, required=True)
    sheet.add_argument("-o", "--out", type=Path, required=True)
    sheet.add_argument("--size", type=_size, default=(192, 192), help="input size of .keras networks (default 192)")
    sheet.add_argument("--count", type=int, default=12)

    reference = commands.add_parser("reference", help="write MobileNetV2-1.0-224 int8, the scale of all cost figures")
    reference.add_argument("-o", "--out", type=Path, default=Path("tests/benchmarks/mobilenet_v2_1.0_224_int8.tflite"))
    return parser


def _train(arguments: argparse.Namespace) -> None:
    keep_freed()
    import dataclasses

    from convert.config import load_config
    from convert.train import Run

    config = load_config(arguments.config)
    data = config.data
    if arguments.data:
        data = dataclasses.replace(data, train=arguments.data, validation=arguments.validation or "")
    elif arguments.validation:
        data = dataclasses.replace(data, validation=arguments.validation)
    print(Run(dataclasses.replace(config, data=data, out=arguments.out or config.out)).train())


def _finetune(arguments: argparse.Namespace) -> None:
    keep_freed()
    from convert.config import STRIDE
    from convert.dataset import list_pictures, split
    from convert.finetune import finetune, markdown
    from convert.weights import recipe_of

    if arguments.size[0] != arguments.size[1] or arguments.size[0] % STRIDE:
        raise ConfigError(f"--size of a fine-tuning is a square, a multiple of {STRIDE}: the site's frames are stretched to it")
    packed = Path(__file__).parent.parent / "models" / f"{arguments.base}.keras"
    weights = packed if packed.is_file() else Path(arguments.base)
    if not weights.is_file():
        raise ConfigError(f"--from {arguments.base}: neither a .keras file nor the name of one in {packed.parent}")
    data = recipe_of(weights)["data"]
    folder = arguments.data or Path(data["train"])
    if not folder.is_dir():
        raise ConfigError(f"{folder}, which {weights.name} was trained on, is not here; --data FOLDER: some hundred varied pictures")
    validation = arguments.validation or (Path(data["validation"]) if not arguments.data and data["validation"] else None)
    pictures = list_pictures(folder)
    rehearsed, guard = (pictures, list_pictures(validation)) if validation else split(pictures, 0.1)
    if not guard:
        raise ConfigError(f"{folder}: too few pictures to set some aside; give --validation FOLDER")
    guard = guard[:: -(-len(guard) // _GUARD_PICTURES)]
    cards, report = finetune(weights, arguments.video, arguments.out, arguments.minutes, rehearsed, guard, size=arguments.size[0])
    print(markdown(report))
    for card in cards:
        print(card)
    _print_operators([arguments.out])


def _average(arguments: argparse.Namespace) -> None:
    from convert.weights import WEIGHTS, average_networks, centers_of, load_network, recipe_of, write_run

    mean = average_networks([load_network(arguments.run / stage / WEIGHTS) for stage in arguments.stages])
    whole = arguments.run / WEIGHTS
    print(write_run(arguments.out, mean, {**recipe_of(whole), "averaged": arguments.stages}, centers_of(whole)))


def _ensemble(arguments: argparse.Namespace) -> None:
    from convert.ensemble import join_files
    from convert.weights import write_run

    print(write_run(arguments.out, *join_files(arguments.weights)))


def _evaluate(arguments: argparse.Namespace) -> None:
    from convert.bars import Bars
    from convert.cost import REFERENCE
    from convert.entries import open_entries
    from convert.evaluate import choose_pictures, evaluate
    from convert.report import markdown, save
    from convert.sheet import contact_sheet, worst_pictures, worst_sheet

    if arguments.small and not arguments.bars:
        raise ConfigError("--small says by which bars to judge; give --bars too")
    entries = open_entries(arguments.models, arguments.size)
    evaluation = evaluate(
        entries, arguments.data, arguments.reference or REFERENCE, pale=arguments.pale, limit=arguments.limit,
        bars=Bars() if arguments.bars else None, small=arguments.small,
    )
    save(evaluation, arguments.markdown, arguments.json)
    print(markdown(evaluation))
    files = [choose_pictures(folder, arguments.limit) for folder in arguments.data]
    if arguments.sheet:
        shown = [file for folder in files for file in folder]
        print(contact_sheet(entries, shown[:: -(-len(shown) // _SHEET_PICTURES)], arguments.sheet, titles=True))
    if arguments.worst:
        last = entries[-1]
        ranked = [
            (folder[i], float(scores.rows[last.name].each["ab_distance"][i]))
            for folder, scores in zip(files, evaluation.data, strict=True) for i in worst_pictures(scores.rows[last.name])
        ]
        print(worst_sheet(last, sorted(ranked, key=lambda pair: -pair[1])[:_WORST_PICTURES], arguments.worst))


def _export(arguments: argparse.Namespace) -> None:
    from convert.card import write_cards
    from convert.config import DataConfig
    from convert.dataset import list_pictures, training_pictures
    from convert.export import export, representative_inputs, sized
    from convert.sqnr import layer_sqnr, markdown, save_layers
    from convert.weights import WEIGHTS, recipe_of

    weights = arguments.weights / WEIGHTS if arguments.weights.is_dir() else arguments.weights
    recipe = recipe_of(weights)
    data = {key: value for key, value in recipe["data"].items() if key in ("train", "validation", "validation_share")}
    pictures = list_pictures(arguments.data) if arguments.data else training_pictures(DataConfig(**data))
    sizes = arguments.size or [(192, 192)]
    made, layers = {}, {}
    for turn, size in enumerate(dict.fromkeys(sizes)):
        out = sized(arguments.out, size) if turn else arguments.out
        done = export(weights, out, size, pictures, arguments.pictures, recipe["seed"])
        chosen = {"pictures": len(pictures), "representative": min(arguments.pictures, len(pictures))}
        if arguments.data:
            chosen["calibrated_on"] = str(arguments.data)
        for path in write_cards(done, weights, recipe, chosen):
            print(path)
        inputs = representative_inputs(pictures, size, _SQNR_PICTURES, recipe["seed"])
        layers[out.name] = layer_sqnr(done.float32.read_bytes(), done.int8.read_bytes(), inputs)
        print(f"\n{out.name}, float against int8 over {_SQNR_PICTURES} representative pictures, the worst layers:\n")
        print(markdown(layers[out.name]))
        made[out.name] = done.int8
    if arguments.layers:
        save_layers(layers, arguments.layers)
    _print_operators(list(made.values()))


def _print_operators(models: list[Path]) -> None:
    from convert.operators import inspect, markdown

    errors = []
    for path in models:
        report = inspect(path.read_bytes())
        print(f"{path.name}:\n\n{markdown(report)}")
        errors += [f"{path.name}: {error}" for error in report.errors]
    if errors:
        raise ModelError("operators that a network for boards must not have: " + "; ".join(errors))


def _operators(arguments: argparse.Namespace) -> None:
    from edgecolor.assets import find_model

    _print_operators([find_model(model) for model in arguments.models])


def _edgetpu(arguments: argparse.Namespace) -> None:
    from convert.compiler import compile_model, contradictions, markdown, predict
    from edgecolor.assets import find_model

    path = find_model(arguments.model)
    prediction = predict(path.read_bytes())
    print(f"{path.name}:\n\n{markdown(prediction)}")
    if arguments.predict:
        return
    written, report = compile_model(path, arguments.out or path.parent, prediction)
    print(f"edgetpu_compiler {report.version}: {report.mapped.total()} operators on the Edge TPU, {sum(report.left.values())} on the CPU")
    for reason, count in report.left.items():
        print(f"  {count} x {reason}")
    for line in contradictions(prediction, report):
        print(f"convert edgetpu: the published rules let expect otherwise: {line}", file=sys.stderr)
    print(written)


def _pack(arguments: argparse.Namespace) -> None:
    from convert.files import write_json
    from convert.weights import WEIGHTS, as_shown, centers_of, load_network, recipe_of, save_network, write_centers

    weights = arguments.run / WEIGHTS
    network, recipe = as_shown(load_network(weights), recipe_of(weights))
    save_network(network, arguments.out, "float16")
    write_json(arguments.out.with_suffix(".config.json"), recipe)
    if (centers := centers_of(weights)) is not None:  # the seed network has none
        write_centers(arguments.out.with_suffix(".bins.npy"), centers)
    print(arguments.out)


def _card(arguments: argparse.Namespace) -> None:
    from convert.card import add_scores, save_card
    from convert.weights import read_table
    from edgecolor.assets import load_model

    model = load_model(arguments.model)
    card = dict(model.card)
    wanted = dict(row.partition("=")[::2] for row in arguments.rows)
    if arguments.scores and not (wanted and all(wanted.values())):
        raise ConfigError("--scores needs --rows KIND=ROW [KIND=ROW ...]: which rows of the evaluation the card is to have, and as what")
    for path in arguments.scores:
        add_scores(card, read_table(path), wanted, str(path))
    if arguments.scores:
        save_card(model.path.with_suffix(".json"), card)
    print(json.dumps(card, indent=1))


def _pale(arguments: argparse.Namespace) -> None:
    from convert.dataset import list_pictures
    from convert.pale import write_pale_set

    pictures = [file for folder in arguments.data for file in list_pictures(folder)]
    print(f"{write_pale_set(pictures, arguments.out, arguments.documents)} pictures in {arguments.out}")


def _sheet(arguments: argparse.Namespace) -> None:
    from convert.entries import open_entry
    from convert.evaluate import choose_pictures
    from convert.sheet import contact_sheet

    entries = [open_entry(model, arguments.size) for model in arguments.models]
    print(contact_sheet(entries, choose_pictures(arguments.data, arguments.count), arguments.out))


def _reference(arguments: argparse.Namespace) -> None:
    from convert.reference import write_reference

    print(write_reference(arguments.out))


_COMMANDS = {
    "train": _train, "finetune": _finetune, "average": _average, "ensemble": _ensemble,
    "evaluate": _evaluate, "export": _export, "operators": _operators, "edgetpu": _edgetpu, "pack": _pack, "card": _card,
    "pale": _pale, "sheet": _sheet, "reference": _reference,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit codes as the runtime's: 0 done, 1 failed, 2 wrong usage."""
    parsed = _parser().parse_args(arguments)
    try:
        _COMMANDS[parsed.command](parsed)
    except EdgeColorError as error:
        print(f"convert {parsed.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
