"""Every error that EdgeColor raises on purpose.

One root, so that a caller can catch all of them; each child also derives from the builtin that fits, so that code
which knows nothing of EdgeColor handles them sensibly. Messages name the input, what was wrong with it and what to do.
"""

from __future__ import annotations

from typing import Literal, get_args

# Why a source was lost: no connection; the camera refused the credentials; connected but no frames came in time; the
# stream ended; what came can not be decoded; what came is of a form that is not supported; the device was unplugged.
Loss = Literal["unreachable", "unauthorized", "silent", "ended", "garbage", "unsupported", "unplugged"]
LOSSES: tuple[Loss, ...] = get_args(Loss)


class EdgeColorError(Exception):
    """Root of every error raised on purpose by this project."""


class ConfigError(EdgeColorError, ValueError):
    """An option or a configuration value is wrong or contradicts another."""


class PictureError(EdgeColorError, ValueError):
    """A picture can not be read: damaged, too large, or of an unsupported form."""


class VideoError(EdgeColorError, ValueError):
    """A video file can not be read."""


class FrameError(EdgeColorError, ValueError):
    """An array has the wrong shape, dtype or range to be a luma or chroma plane."""


class ModelError(EdgeColorError, ValueError):
    """A model or its card is damaged, or the two do not belong together."""


class AssetNotFoundError(EdgeColorError, FileNotFoundError):
    """No model, card or bundled file of that name or path exists."""


class RuntimeMissingError(EdgeColorError, ImportError):
    """The asked-for TFLite runtime, or any at all, is not installed."""


class DelegateError(EdgeColorError, RuntimeError):
    """The asked-for delegate (Coral Edge TPU) is absent or refuses to work. Never replaced silently by the CPU."""


class DelegateMissingError(DelegateError):
    """The delegate's library or device is absent, or the two do not work together."""


class DelegateLostError(DelegateError, ConnectionError):
    """The delegate failed in the middle of its work: unplugged, most likely."""


class ModelNotCompiledError(DelegateError, ValueError):
    """The asked-for delegate can not run this model, which was not compiled for it."""


class OutputError(EdgeColorError, OSError):
    """A result can not be written: it exists already, the folder is not writable, or the disk is full."""


class DiskFullError(OutputError):
    """There is no room for a result: the disk is full, or the user's share of it."""


class WorkerError(EdgeColorError, RuntimeError):
    """A worker failed in the middle of a file in a way that nobody foresaw: a library crashed, or the system killed its process."""


class SourceError(EdgeColorError, OSError):
    """A source of frames can not be opened or was lost."""


class SourceLostError(SourceError, ConnectionError):
    """A live source is gone, silent, or sends what can not be used; worth trying again.

    kind: which of LOSSES. The message never holds a password.
    """

    def __init__(self, message: str, kind: Loss) -> None:
        super().__init__(message)
        self.kind: Loss = kind


class CredentialsError(EdgeColorError, PermissionError):
    """A password or token is missing, unreadable, or too openly readable."""


class PublishError(EdgeColorError, OSError):
    """The colorized stream can not be published: no encoder, or an address that can not be one."""


class PipelineError(EdgeColorError, RuntimeError):
    """A thread of the live pipeline failed in a way that nobody foresaw; the cause is chained."""


class ServeError(EdgeColorError, OSError):
    """The HTTP server can not start: the address is taken or not allowed."""


class InstallationError(EdgeColorError, OSError):
    """The service can not be installed, removed or asked: not root, no systemd, or an environment that it could not use."""
