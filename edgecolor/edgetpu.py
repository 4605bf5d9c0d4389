"""The Coral Edge TPU: which device is asked for, whether a model was compiled for it, and what a child process finds out.

libedgetpu comes from nobody's package index and is built against one version of TensorFlow Lite: with another one it may end the
process while a model is loaded (github.com/google-coral/edgetpu issues 712, 821). So all of it is tried in a child first.
Sources: coral.ai/docs/edgetpu/tflite-python (options of the delegate), edgetpu_c.h of github.com/google-coral/libedgetpu.
"""

from __future__ import annotations

import re
import subprocess
import sys

from edgecolor.errors import ConfigError, DelegateMissingError, ModelNotCompiledError

LIBRARY = "libedgetpu.so.1"
CUSTOM_OPERATOR = b"edgetpu-custom-op"  # what the compiler puts in the place of all that it maps
SUFFIX = "_edgetpu"
COMPILE = "`python -m convert edgetpu MODEL` tells how"
INSTALL = (
    "plug the Coral in, install a libedgetpu that fits the runtime (Google's last one is of 2021 and fits tflite-runtime up to about 2.9; "
    "newer builds: github.com/feranick/libedgetpu), and see `edgecolor doctor --coral`; or leave the delegate out to run on the CPU"
)
_DEVICE = re.compile(r"edgetpu(?::(usb|pci|\d{1,2}))?")
_PROBE_TIMEOUT_S = 30.0  # the first use loads firmware into a USB Coral, which then comes back under another address
# The whole way of a model through the delegate: some libraries load well and die later.
_PROBE = """
import os, sys
from edgecolor.interpreter import load_runtime
try:
    module = load_runtime(sys.argv[1])[1]
    delegate = module.load_delegate(sys.argv[2], dict(option.split("=", 1) for option in sys.argv[3:]))
    if model := sys.stdin.buffer.read():
        interpreter = module.Interpreter(model_content=model, experimental_delegates=[delegate])
        interpreter.allocate_tensors()
        interpreter.invoke()
except (OSError, ValueError, RuntimeError) as error:
    print(f"{type(error).__name__}: {error}".replace(chr(10), " "), flush=True)
    os._exit(1)  # a delegate that failed to load raises once more when it is collected
os._exit(0)
"""


def device_options(delegate: str) -> dict[str, str]:
    """libedgetpu's options for "edgetpu", "edgetpu:usb", "edgetpu:pci" or "edgetpu:N". Raises ConfigError."""
    found = _DEVICE.fullmatch(delegate)
    if found is None:
        raise ConfigError(f"delegate {delegate!r} is unknown; the one delegate is edgetpu, or edgetpu:usb, edgetpu:pci, edgetpu:0")
    device = found[1]
    return {} if device is None else {"device": f":{device}" if device.isdigit() else device}


def is_compiled(model: bytes) -> bool:
    """Whether the bytes of a .tflite file were compiled for the Edge TPU."""
    return CUSTOM_OPERATOR in model


def probe(runtime: str, options: dict[str, str], model: bytes = b"", library: str | None = None) -> str:
    """Load the delegate in a child process and, where a model is given, run that once; returns "" or what went wrong."""
    library = library or LIBRARY
    command = [sys.executable, "-c", _PROBE, runtime, library, *(f"{key}={value}" for key, value in options.items())]
    try:
        done = subprocess.run(command, capture_output=True, input=model, timeout=_PROBE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{library} did not answer within {_PROBE_TIMEOUT_S:.0f} s"
    if done.returncode == 0:
        return ""
    if done.returncode == 1 and (said := done.stdout.decode(errors="replace").strip()):
        return said.splitlines()[-1]
    end = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return f"{library} ended the process that tried it ({end}): it does not fit the runtime {runtime}"


def check(delegate: str, runtime: str, model: bytes) -> dict[str, str]:
    """The options to load the delegate with, once a child has run the model on it.

    Raises ConfigError for an unknown delegate, ModelNotCompiledError for a model that would run on the CPU, DelegateMissingError.
    """
    options = device_options(delegate)
    if not is_compiled(model):
        raise ModelNotCompiledError(
            f"delegate {delegate!r}: the model is not compiled for the Edge TPU, so that all of it would run on the CPU; {COMPILE}"
        )
    if wrong := probe(runtime, options, model):
        raise DelegateMissingError(f"delegate {delegate!r} can not be used: {wrong}. To mend it: {INSTALL}")
    return options
