"""An archive's files by the workers of a Dask cluster, on this machine or many, in place of processes of our own.

All machines see the archive and the output folder under the same paths; what travels are jobs, shares of progress and outcomes,
never files. A long film is done in parts, which begin where its scenes do, and is joined from them. A task whose worker dies is
given to another one, and its output is replaced as a whole, so that it stands there once.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from edgecolor import __version__
from edgecolor.archive.job import VIDEO, Job, Outcome, Settings
from edgecolor.archive.work import Worker, file_digest, reason, video_options
from edgecolor.archive.workers import Advance, Network
from edgecolor.errors import ConfigError, EdgeColorError, OutputError, WorkerError
from edgecolor.sinks.files import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, writing_into

if TYPE_CHECKING:
    from edgecolor.videos import Span

_RETRIES = 3  # of a task that raises what it should not; deaths of workers are counted by the scheduler
_WAITING = 2  # jobs a thread of the cluster that are handed out beforehand
_CONNECT_S, _POLL_S, _REPORT_S = 10.0, 0.25, 2.0
_TOPIC = "edgecolor-progress"
_SCHEMES = ("tcp", "tls")


def check_address(address: str, *, unencrypted: bool) -> None:
    """Raise ConfigError unless ``address`` is a scheduler's, encrypted or on this very machine. unencrypted: or at the user's wish."""
    wrong = ConfigError(f"{address!r} is no scheduler's address; it looks like tls://192.168.1.5:8786 or tcp://127.0.0.1:8786")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in _SCHEMES or not host or port is None or parts.username or parts.path not in ("", "/"):
        raise wrong
    if parts.scheme == "tcp" and not _is_loopback(host) and not unencrypted:
        raise ConfigError(
            f"{address}: over tcp:// nothing is encrypted, and whoever reaches the scheduler can run programs on every worker; "
            "use tls:// with certificates (distributed.comm.tls in Dask's configuration), or say --scheduler-unencrypted"
        )


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _check_certificates(security: Any) -> None:
    """Raises ConfigError where Dask's configuration has no usable certificates for a client."""
    try:
        context = security.get_connection_args("client")["ssl_context"]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"--scheduler: the certificates of Dask's configuration can not be used: {error}") from error
    if context is None:
        names = ", ".join(f"DASK_DISTRIBUTED__COMM__TLS__{name}" for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY"))
        raise ConfigError(f"--scheduler: for tls:// Dask's configuration names no certificates; set {names} to their paths")


class Cluster:
    """The workers of a scheduler. Use as a context; see Workers. folder: of the outputs, which every worker must see.

    Raises ConfigError: Dask is not installed; WorkerError: no scheduler or no workers there, or workers that can not do the work:
    another version of EdgeColor, another model under the same name, or no access to the folder; OutputError: none from here.
    """

    def __init__(self, address: str, network: Network, settings: Settings, folder: Path, part_seconds: float) -> None:
        try:
            from distributed import Client
            from distributed.security import Security
        except ImportError as error:
            raise ConfigError(f"--scheduler needs Dask ({error}); pip install '.[cluster]' in a checkout") from error
        self._part_s = part_seconds
        self._network, self._settings, self._folder = network, settings, folder.absolute()
        self._done: SimpleQueue[Any] = SimpleQueue()  # futures, and (key, number of the part, share of it)
        self._tasks: dict[str, _Task] = {}
        self._futures: dict[str, tuple[Any, _Task, int]] = {}
        self.tried: set[str] = set()  # targets near which workers that died may have left parts of files
        if address.startswith("tls:"):  # without certificates Dask would wait for ever to close what it never opened
            _check_certificates(Security())
        try:
            self._client = Client(address, timeout=_CONNECT_S, set_as_default=False, name="edgecolor")
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise WorkerError(f"{address}: no scheduler answers there ({error})") from error

    def __enter__(self) -> Self:
        try:
            self._threads = self._examine()
            self._client.subscribe_topic(_TOPIC, lambda event: self._done.put(event[1]))
        except BaseException:
            self._client.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            self._client.cancel([future for future, _, _ in self._futures.values()], force=True)
        self._client.close()
        for task in self._tasks.values():
            task.held.close()

    def _examine(self) -> int:
        """The number of threads of all workers, each of which has been asked whether it can do the work."""
        probe = self._folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
        with contextlib.ExitStack() as stack:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(writing_into(self._folder))
                probe.touch()
            except OSError as error:
                raise OutputError(f"{self._folder}: can not be written: {error.strerror}") from error
            stack.callback(probe.unlink, missing_ok=True)
            answers = self._client.run(_examined, self._network, self._settings.model, str(probe), on_error="return")
        if not answers:
            raise WorkerError("the scheduler has no workers; start some with `dask worker ADDRESS`")
        for worker, answer in answers.items():
            if answer is not None:
                raise WorkerError(f"worker {worker} can not take part: {answer}")
        return sum(int(facts["nthreads"]) for facts in self._client.scheduler_info(n_workers=-1)["workers"].values())

    def run(self, jobs: Iterator[Job], advance: Advance) -> Iterator[Outcome]:
        """Outcomes in the order in which they come; see Workers.run."""
        more = True
        while True:
            while more and len(self._futures) < _WAITING * self._threads:
                job = next(jobs, None)
                if job is None:
                    more = False
                else:
                    self._begin(job)
            if not self._tasks:
                return
            with contextlib.suppress(Empty):
                said = self._done.get(timeout=_POLL_S)
                if isinstance(said, tuple):
                    key, number, share = said
                    if key in self._tasks:
                        advance(self._tasks[key].job, self._tasks[key].share(number, share))
                elif outcome := self._hear(said):
                    yield outcome

    def _begin(self, job: Job) -> None:
        away = _sent(job)
        task = self._tasks[job.key] = _Task(job, away, monotonic())
        self.tried.add(job.key)
        if job.format == VIDEO and self._settings.signature is None:
            self._submit(task, _divided, away, self._settings, self._part_s)
        else:
            self._submit(task, _perform, away, self._network, self._settings)

    def _submit(self, task: _Task, what: Any, *arguments: Any) -> None:
        future = self._client.submit(what, *arguments, pure=False, retries=_RETRIES)
        self._futures[future.key] = future, task, task.turn
        future.add_done_callback(self._done.put)

    def _hear(self, future: Any) -> Outcome | None:
        _, task, turn = self._futures.pop(future.key)
        if task.turn != turn or task.job.key not in self._tasks:
            return None  # a part of a film that is done in one piece meanwhile
        if future.status == "finished":
            from edgecolor.videos.parts import UNFIT

            said = future.result()
            if isinstance(said, Outcome) and said.error.endswith(UNFIT):
                said = []
            if not isinstance(said, Outcome):
                self._go_on(task, said)
                return None
            record = said.record and replace(said.record, source=str(task.job.source.absolute()))
            warnings = tuple(dict.fromkeys((*said.warnings, *_of_parts(task.warnings))))
            return self._end(task, replace(said, job=task.job, record=record, warnings=warnings))
        error = future.exception() if future.status == "error" else WorkerError("the scheduler gave it up")
        if isinstance(error, EdgeColorError):
            raise error
        failed = WorkerError(f"the workers that had it ended or failed, one after the other ({error})")
        return self._end(task, Outcome(task.job, "failed", error=reason(task.job.source, failed), crashed=True))

    def _go_on(self, task: _Task, said: list[Span] | _Coloured) -> None:
        """After a film was divided, or one of its parts was coloured. No spans: it is done in one piece."""
        if isinstance(said, _Coloured):
            task.shares[said.number] = 1.0
            task.warnings[said.number] = said.warnings
            if all(share == 1.0 for share in task.shares):
                self._submit(task, _perform, task.away, self._network, self._settings, task.parts)
            return
        task.remove_parts()
        task.turn += 1
        task.parts = [task.away.target.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}" for _ in said]
        task.shares, task.warnings = [0.0] * len(said), [()] * len(said)
        if said:
            task.hold()
        for number, span in enumerate(said):
            self._submit(task, _part, task.away, self._network, self._settings, span, number, task.parts[number])
        if not said:
            self._submit(task, _perform, task.away, self._network, self._settings)

    def _end(self, task: _Task, outcome: Outcome) -> Outcome:
        del self._tasks[task.job.key]
        task.remove_parts()
        return replace(outcome, seconds=monotonic() - task.since)


def _sent(job: Job) -> Job:
    """A job as workers have it.

    What it writes may replace a file: the plan has seen that there was none, or that it may. A second attempt, after a worker has died
    between writing and telling, finds the first one's. But where an output is known, its source decides first.
    """
    return replace(job, source=job.source.absolute(), target=job.target.absolute(), replace=job.replace or job.known is None)


@dataclass(frozen=True)
class _Coloured:
    """A part of a film is done, by its number."""

    number: int
    warnings: tuple[str, ...]


def _of_parts(warnings: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Each warning once, with the numbers of the parts that gave it, unless all did. warnings: of each part."""
    whole = len(warnings)
    for text in dict.fromkeys(text for part in warnings for text in part):
        numbers = [str(number) for number, part in enumerate(warnings, 1) if text in part]
        yield text if len(numbers) == whole else f"{text} (in part {', '.join(numbers)} of {whole})"


@dataclass(eq=False)
class _Task:
    """A job in hand. away: as workers have it. parts: temporary files of a film that is done in parts. shares: how far each is.

    warnings: of each part. held: keeps parts that wait for the others from being swept away. turn: what was submitted before the last
    change of mind does not count.
    """

    job: Job
    away: Job
    since: float
    parts: list[Path] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    warnings: list[tuple[str, ...]] = field(default_factory=list)
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    turn: int = 0

    def share(self, number: int, share: float) -> float:
        """Of the whole, when so much of a part (or of all, without parts) is done."""
        if number >= len(self.shares):
            return share
        self.shares[number] = min(max(self.shares[number], share), 1.0 if self.shares[number] == 1.0 else 0.99)
        return sum(self.shares) / len(self.shares)

    def hold(self) -> None:
        """Parts will come."""
        folder = self.away.target.parent
        with contextlib.suppress(OSError):  # workers say what is wrong with it
            folder.mkdir(parents=True, exist_ok=True)
        self.held.enter_context(writing_into(folder))

    def remove_parts(self) -> None:
        """They are of no use any more."""
        for part in self.parts:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        self.held.close()


def _examined(network: Network, model: str, probe: str | None = None) -> str | None:
    """On a worker: why it can not take part, or None. model: the SHA-256 that the network's file must have. probe: a file to see."""
    import edgecolor
    from edgecolor.assets import load_model

    if edgecolor.__version__ != __version__:
        return f"it has EdgeColor {edgecolor.__version__}, not {__version__}"
    if probe is not None and not Path(probe).exists():
        return f"it does not see {Path(probe).parent}; archive and output must be on storage that all machines share, under the same path"
    try:
        found = str(load_model(network.model).card["sha256"])
    except EdgeColorError as error:
        return str(error)
    return None if found == model else f"its model {network.model} is another one (SHA-256 {found[:16]}, not {model[:16]})"


_of_thread = threading.local()


def _perform(job: Job, network: Network, settings: Settings, parts: Sequence[Path] = ()) -> Outcome:
    """On a worker: one job, with this thread's own network; or the joining of its parts."""
    return _worker(network, settings).perform(job, None if parts else _telling(job, 0), parts)


def _divided(job: Job, settings: Settings, seconds: float) -> list[Span]:
    """On a worker: the parts of a film; none when it is better done in one piece, which will also tell what is wrong with it."""
    from edgecolor.videos import divide

    try:
        if job.known is not None and (not job.replace or file_digest(job.source) == job.known.sha256):
            return []  # nothing will be made
        return divide(job.source, job.target, video_options(settings), seconds)
    except Exception:  # noqa: BLE001 - it comes again in one piece, and is told there
        return []


def _part(job: Job, network: Network, settings: Settings, span: Span, number: int, part: Path) -> _Coloured | list[Span]:
    """On a worker: one part of a film, by its number. When it fails the film is done in one piece, which tells why."""
    from edgecolor.videos import colorize_part

    options = video_options(settings)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # of an attempt that died
        colorizer = _worker(network, settings).colorizer
        with writing_into(part.parent):
            report = colorize_part(job.source, job.target, part, span, colorizer, options, _telling(job, number))
    except Exception:  # noqa: BLE001 - likewise
        return []
    return _Coloured(number, report.warnings)


def _telling(job: Job, number: int) -> Callable[[float, float], None]:
    from distributed import get_worker

    worker, told = get_worker(), 0.0

    def progress(done: float, whole: float) -> None:
        nonlocal told
        if whole > 0 and monotonic() - told >= _REPORT_S:
            told = monotonic()
            worker.log_event(_TOPIC, (job.key, number, min(1.0, done / whole)))

    return progress


def _worker(network: Network, settings: Settings) -> Worker:
    from edgecolor.colorizer import Colorizer

    if getattr(_of_thread, "made_for", None) != (network, settings):
        if (why := _examined(network, settings.model)) is not None:  # it has joined in the middle of the run
            raise WorkerError(f"a worker that has joined can not take part: {why}")
        _of_thread.worker = Worker(settings, Colorizer(network.model, network.runtime, network.threads, network.delegate))
        _of_thread.made_for = (network, settings)
    kept: Worker = _of_thread.worker
    return kept
