"""The configuration of ``edgecolor serve``: every room's own options, in one frozen dataclass."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgecolor import edgetpu
from edgecolor.assets import PACKAGE
from edgecolor.catalog import AUTO, check_auto
from edgecolor.config import add_environment, build, check_privacy
from edgecolor.credentials import Secret, split_address, without_password
from edgecolor.errors import AssetNotFoundError, ConfigError
from edgecolor.layers import Layers, Text, read_layers
from edgecolor.live import LiveOptions
from edgecolor.logs import LogOptions
from edgecolor.sinks.http.options import HttpOptions
from edgecolor.sinks.publish import PublishOptions
from edgecolor.sources import PicameraOptions, SourceOptions, host_and_port, is_network_address
from edgecolor.toml import written

PREFIX = "EDGECOLOR"
EXAMPLES = (PACKAGE / "example.toml", PACKAGE.parent / "systemd" / "example.toml")


@dataclass(frozen=True)
class SourceConfig(SourceOptions):
    """SourceOptions, and which source. address: as ``sources.open_source`` takes it. Raises ConfigError."""

    address: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_network_address(self.address):
            host_and_port(self.address)


@dataclass(frozen=True)
class NetworkConfig:
    """Which network guesses, and on what. Raises ConfigError.

    model: a shipped one's name, the path of a .tflite file with its card, or, without a delegate, auto. runtime: the first that is
    installed when empty. threads: 0 for edgecolor.interpreter.usual_threads. delegate: edgetpu, edgetpu:usb, edgetpu:pci or
    edgetpu:N for a Coral. delegate_fallback: "cpu" to go on without it when it is absent or lost; otherwise that is an error.
    """

    model: str = "edgecolor"
    runtime: Literal["", "litert", "tflite"] = ""
    threads: int = 0
    delegate: str = ""
    delegate_fallback: Literal["", "cpu"] = ""

    def __post_init__(self) -> None:
        if self.delegate:
            edgetpu.device_options(self.delegate)
        if self.model == AUTO:
            check_auto(self.delegate)
        if self.delegate_fallback and not self.delegate:
            raise ConfigError("delegate_fallback without a delegate: there is nothing to fall back from")
        if not 0 <= self.threads <= 256:
            raise ConfigError(f"threads {self.threads} is not between 0 and 256")


@dataclass(frozen=True)
class ServeConfig:
    """All that ``edgecolor serve`` can be told."""

    source: SourceConfig = field(default_factory=SourceConfig)
    picamera: PicameraOptions = field(default_factory=PicameraOptions)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    live: LiveOptions = field(default_factory=LiveOptions)
    http: HttpOptions = field(default_factory=HttpOptions)
    publish: PublishOptions = field(default_factory=PublishOptions)
    log: LogOptions = field(default_factory=LogOptions)

    def secrets(self) -> list[str]:
        """The passwords and tokens in it, in clear: for the logs' filter."""
        found = [value.reveal() for _, _, value in entries(self) if isinstance(value, Secret)]
        found += [split_address(url)[2].reveal() for url in (self.source.address, self.publish.url)]
        return [secret for secret in found if secret]


@dataclass(frozen=True)
class Loaded:
    """A configuration, the layers that it was made of, and what to warn of."""

    config: ServeConfig
    layers: Layers
    warnings: list[str]


def load(path: Path | None, environment: Mapping[str, str], flags: Mapping[tuple[str, str], tuple[Any, str]]) -> Loaded:
    """Defaults <- file <- environment <- flags. flags: (section, key) -> (value, the flag's name).

    Raises ConfigError or CredentialsError that name file, line and key, or the variable or flag.
    """
    layers = read_layers(path) if path is not None else Layers()
    check_privacy(layers, ServeConfig)
    strange = add_environment(layers, ServeConfig, environment, PREFIX)
    warnings = [f"{name} is no setting of EdgeColor, and is ignored" for name in strange]
    for place, (value, flag) in flags.items():
        layers.put(place, Text(value) if isinstance(value, str) else value, flag)
        if isinstance(value, str) and without_password(value) != value:
            warnings.append(
                f"{flag} has a password in it, or what may be one, which every user of this machine can read in the list of processes; "
                "give it in a configuration file, in the environment or in a credentials file instead"
            )
    return Loaded(build(ServeConfig, layers), layers, warnings)


def entries(config: ServeConfig) -> Iterator[tuple[str, str, Any]]:
    """Section, key and value of every setting, in the order of definition; a source's address first."""
    for section in dataclasses.fields(config):
        options = getattr(config, section.name)
        names = [f.name for f in dataclasses.fields(options)]
        for name in sorted(names, key=lambda name: (name not in ("address", "url"), names.index(name))):
            yield section.name, name, getattr(options, name)


def as_toml(loaded: Loaded) -> str:
    """The effective configuration as TOML, each value that is no default with the place that it comes from. Secrets are ***."""
    lines: list[str] = []
    section = ""
    for table, key, value in entries(loaded.config):
        if table != section:
            lines += [*([""] if lines else []), f"[{table}]"]
            section = table
        if isinstance(value, Secret):
            value = str(value)
        elif isinstance(value, str):
            value = without_password(value)
        line = f"{key} = {written(value)}"
        if place := _place(loaded.layers, table, key):
            line += f"  # {place}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _place(layers: Layers, table: str, key: str) -> str:
    given = layers.table.get(table, {})
    named = next((name for name in (key, f"{key}_file") if name in given), None)
    if named is None:
        return ""
    place = layers.place((table, named)).removesuffix(f": {table}.{named}")
    return place if place.isprintable() else ascii(place)


def example() -> str:
    """The commented example. Raises AssetNotFoundError when the installation is damaged."""
    for path in EXAMPLES:
        if path.is_file():
            return path.read_text("utf-8")
    raise AssetNotFoundError("the bundled file example.toml is missing; install edgecolor again")
