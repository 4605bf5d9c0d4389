"""Signed exports (extra ``c2pa``): a C2PA manifest inside the file says what was opened, what was done to it, and who vouches for it.

Source: C2PA Technical Specification 2.2 (claims, c2pa.actions.v2, ingredients). The signature is made with the user's own
certificate and key; whether a reader trusts that certificate is another matter. No timestamp authority is asked: nothing leaves
the machine.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from edgecolor import __version__
from edgecolor.errors import ConfigError, CredentialsError, EdgeColorError, OutputError, RuntimeMissingError
from edgecolor.provenance import DIGITAL_SOURCE_TYPE

_PICTURES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tiff": "image/tiff", "bmp": "image/bmp"}
_VIDEOS = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".avi": "video/avi"}
_UNKNOWN = "application/octet-stream"
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Signature:
    """Where certificate and key are: PEM files. The certificate's comes first, then those that vouch for it, if any."""

    certificate: Path
    key: Path

    def fingerprint(self) -> str:
        """SHA-256 of the certificate's file, hexadecimal. Raises CredentialsError."""
        return hashlib.sha256(_read(self.certificate, secret=False)).hexdigest()


class Signer:
    """Signs files. Raises RuntimeMissingError (no c2pa-python), CredentialsError (unreadable, open to others, or no fit)."""

    def __init__(self, signature: Signature) -> None:
        try:
            self._c2pa: Any = importlib.import_module("c2pa")
        except ImportError as error:
            raise RuntimeMissingError(f"c2pa-python can not be loaded ({error}); pip install '.[c2pa]' in a checkout") from error
        certificates, (key, algorithm) = _read(signature.certificate, secret=False), _private_key(signature.key)
        try:
            self._signer = self._c2pa.Signer.from_info(self._c2pa.C2paSignerInfo(algorithm, certificates, key, None))
            self._context = self._c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
            # The library looks at the certificate only when it signs: better now than after an hour of film.
            self._sign(io.BytesIO(_TINY_PNG), io.BytesIO(), "image/png", io.BytesIO(_TINY_PNG), "image/png", "trial", "EdgeColor")
        except self._c2pa.C2paError as error:
            raise CredentialsError(
                f"{signature.certificate}: can not be used with {signature.key} to sign by C2PA ({error}); the first certificate must be "
                "the key's own, not an authority's, for digital signatures, with the extended use e-mail protection or document signing"
            ) from None

    def sign_picture(self, encoded: bytes, kind: str, original: bytes, original_kind: str, source: Path, tool: str) -> bytes:
        """An encoded picture with a signed manifest in it. kind: "jpeg", ...; original: the file that it was made of, and its kind.

        tool: see provenance.creator_tool. Raises ConfigError when the format has no place for a manifest, OutputError otherwise.
        """
        if kind == "bmp":
            raise ConfigError(f"{source}: BMP has no place for a C2PA signature; choose another --format")
        signed = io.BytesIO()
        media = _PICTURES.get(original_kind, _UNKNOWN)
        try:
            self._sign(io.BytesIO(encoded), signed, _PICTURES[kind], io.BytesIO(original), media, source.name, tool)
        except self._c2pa.C2paError as error:
            raise OutputError(f"{source}: its result can not be signed: {error}") from error
        return signed.getvalue()

    def sign_video(self, encoded: Path, target: Path, media: str, source: Path, tool: str) -> None:
        """Write ``target``: the video ``encoded`` with a signed manifest in it. media: see video_media. Raises OutputError."""
        try:
            with encoded.open("rb") as given, target.open("w+b") as signed, source.open("rb") as original:
                kind = _VIDEOS.get(source.suffix.lower(), _UNKNOWN)
                self._sign(given, signed, media, original, kind, source.name, tool)
                signed.flush()
                os.fsync(signed.fileno())
        except self._c2pa.C2paError as error:
            raise OutputError(f"{source}: its result can not be signed: {error}") from error

    def _sign(
        self, given: BinaryIO, signed: BinaryIO, media: str, original: BinaryIO, original_media: str, title: str, tool: str
    ) -> None:
        """Write ``signed``. An original that is not what its name or header says, or is damaged, is vouched for as any bytes are."""
        try:
            self._sign_as(given, signed, media, original, original_media, title, tool)
        except self._c2pa.C2paError:
            if original_media == _UNKNOWN:
                raise
            for stream in (given, signed, original):
                stream.seek(0)
            signed.truncate()
            self._sign_as(given, signed, media, original, _UNKNOWN, title, tool)

    def _sign_as(
        self, given: BinaryIO, signed: BinaryIO, media: str, original: BinaryIO, original_media: str, title: str, tool: str
    ) -> None:
        actions = [
            {"action": "c2pa.opened", "parameters": {"ingredientIds": ["original"]}},
            {
                "action": "c2pa.edited",
                "description": "The colours are guessed from luma.",
                "digitalSourceType": DIGITAL_SOURCE_TYPE,
                "softwareAgent": {"name": tool},
            },
        ]
        manifest = {
            "claim_generator_info": [{"name": "EdgeColor", "version": __version__}],
            "title": title,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
        }
        ingredient = {"title": title, "relationship": "parentOf", "instance_id": "original", "label": "original"}
        with self._c2pa.Builder(manifest, context=self._context) as builder:
            builder.add_ingredient(ingredient, original_media, original)
            builder.sign(self._signer, media, given, signed)


def video_media(source: Path, target: Path) -> str:
    """The media type of a container that can be signed. Raises ConfigError for another."""
    media = _VIDEOS.get(target.suffix.lower())
    if media is None:
        raise ConfigError(f"{source}: a {target.suffix} video has no place for a C2PA signature; {', '.join(_VIDEOS)} have")
    return media


def _private_key(path: Path) -> tuple[bytes, str]:
    """The key as PKCS#8 PEM, and C2PA's name of the algorithm that goes with it. The library's own dependency reads it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        key = serialization.load_pem_private_key(_read(path, secret=True), None)
    except CredentialsError:
        raise
    except UnsupportedAlgorithm:
        raise CredentialsError(f"{path}: C2PA knows no such kind of key; make one on the curve prime256v1") from None
    except (ValueError, TypeError, EdgeColorError):
        # Without the cause: it may quote the file.
        raise CredentialsError(f"{path}: not a private key in PEM without a passphrase") from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        algorithm = _CURVES[key.curve.name]
    elif isinstance(key, rsa.RSAPrivateKey):
        algorithm = "ps256"
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = "ed25519"
    else:
        raise CredentialsError(f"{path}: C2PA knows no such kind of key; make one on the curve prime256v1")
    encoding = serialization.Encoding.PEM
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()), algorithm


def _read(path: Path, *, secret: bool) -> bytes:
    try:
        with path.open("rb") as file:
            if secret and os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise CredentialsError(f"{path}: others than its owner can read or change it; chmod 600 {path}")
            return file.read(_LARGEST)
    except CredentialsError:
        raise
    except OSError as error:
        raise CredentialsError(f"{path}: can not be read: {error.strerror}") from None


# One gray pixel (PNG, ISO/IEC 15948).
_TINY_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)
