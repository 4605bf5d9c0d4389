"""A stand-in for a Coral: its library, compiled on the spot, and models as the Edge TPU's compiler would leave them."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from edgecolor.assets import find_model
from tests.conftest import ROOT, need


def build_library(folder: Path) -> Path:
    """libedgetpu.so.1 in ``folder``; see edgetpu.c for what $EDGETPU_STUB makes it do."""
    library = folder / "libedgetpu.so.1"
    subprocess.run([need("cc", "gcc"), "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests/edgetpu.c"], check=True)
    return library


def compiled(model: bytes) -> bytes:
    """The model with one operator edgetpu-custom-op in the place of all others."""
    table = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = table.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode, code.version = schema.BuiltinOperator.CUSTOM, 32, b"edgetpu-custom-op", 1
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs, operator.customOptions = 0, list(graph.inputs), list(graph.outputs), [1, 2]
    table.operatorCodes, graph.operators = [code], [operator]
    builder = Builder()
    builder.Finish(table.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def write_compiled(folder: Path, name: str = "edgecolor") -> Path:
    """The shipped model in ``folder`` with its card, and NAME_edgetpu.tflite with its own beside it; the latter's path."""
    plain = find_model(name)
    card = json.loads(plain.with_suffix(".json").read_text())
    made = folder / f"{name}_edgetpu.tflite"
    made.write_bytes(compiled(plain.read_bytes()))
    for file in (plain, plain.with_suffix(".json")):
        (folder / file.name).write_bytes(file.read_bytes())
    own = {**card, "name": made.stem, "file": made.name, "sha256": hashlib.sha256(made.read_bytes()).hexdigest()}
    made.with_suffix(".json").write_text(json.dumps(own))
    return made
