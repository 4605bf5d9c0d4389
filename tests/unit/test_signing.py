from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from edgecolor.errors import ConfigError, CredentialsError, OutputError, RuntimeMissingError
from edgecolor.provenance import DIGITAL_SOURCE_TYPE
from edgecolor.signing import Signature, Signer, video_media
from tests import samples
from tests.certificates import signing_certificate
from tests.conftest import DATA

c2pa = pytest.importorskip("c2pa")
UNKNOWN_CURVE = b"""-----BEGIN EC PRIVATE KEY-----
MD4CAQEEDohoiCadfOjg6KaY/dNqoAcGBSuBBAAGoSADHgAEJdKbu5sdhTbCsysk
+uKj1ZMvWvN9yfg0okj/AQ==
-----END EC PRIVATE KEY-----
"""  # made for this test: openssl ecparam -name secp112r1 -genkey -noout


@pytest.fixture(scope="module")
def signature(tmp_path_factory) -> Signature:
    return Signature(*signing_certificate(tmp_path_factory.mktemp("ec")))


def told(media: str, content: bytes) -> dict:
    """The active manifest of a signed file, whose signature and hashes are valid."""
    reader = c2pa.Reader(media, io.BytesIO(content))
    assert reader.get_validation_state() == "Valid"
    store = json.loads(reader.json())
    return store["manifests"][store["active_manifest"]]


@pytest.mark.parametrize(("kind", "name"), [("jpeg", "gray.jpg"), ("png", "gray.png"), ("webp", "lossy.webp"), ("tiff", "gray.tif")])
def test_a_picture_tells_what_was_done_and_who_vouches(signature, kind, name):
    content = samples.good()[name]
    signed = Signer(signature).sign_picture(content, kind, content, kind, Path("album") / name, "EdgeColor 9 (model x)")
    manifest = told(f"image/{kind}", signed)
    actions = manifest["assertions"][0]["data"]["actions"]
    assert [a["action"] for a in actions] == ["c2pa.opened", "c2pa.edited"]
    assert (actions[1]["digitalSourceType"], actions[1]["softwareAgent"]["name"]) == (DIGITAL_SOURCE_TYPE, "EdgeColor 9 (model x)")
    assert [i["title"] for i in manifest["ingredients"]] == [name]
    assert manifest["signature_info"]["common_name"] == "Signer"
    assert len(signed) - len(content) < 10_000  # no thumbnails


@pytest.mark.parametrize(("original", "kind", "listed"), [
    ("gray.jpg", "jpeg", "image/jpeg"), ("gray.bmp", "bmp", "image/bmp"), ("gray.tif", "tiff", "image/tiff"),
    ("lossy.webp", "webp", "image/webp"),
    ("gray.jpg", "png", "application/octet-stream"), ("gray.jpg", "fits", "application/octet-stream"),
])  # fmt: skip
def test_what_it_was_made_of_is_listed_as_what_it_is(signature, original, kind, listed):
    """Or as any bytes, where it is not what it is said to be."""
    signed = Signer(signature).sign_picture(samples.good()["gray.png"], "png", samples.good()[original], kind, Path(original), "EdgeColor")
    (ingredient,) = told("image/png", signed)["ingredients"]
    assert (ingredient["title"], ingredient["format"]) == (original, listed)


def test_one_changed_byte_is_noticed(signature):
    content = samples.good()["gray.png"]
    signed = bytearray(Signer(signature).sign_picture(content, "png", content, "png", Path("a.png"), "EdgeColor"))
    signed[-20] ^= 1
    assert c2pa.Reader("image/png", io.BytesIO(bytes(signed))).get_validation_state() == "Invalid"


@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_other_kinds_of_keys(tmp_path, algorithm):
    content = samples.good()["gray.jpg"]
    signer = Signer(Signature(*signing_certificate(tmp_path, algorithm)))
    told("image/jpeg", signer.sign_picture(content, "jpeg", content, "jpeg", Path("a.jpg"), "EdgeColor"))


def test_a_video_is_signed_from_file_to_file(signature, tmp_path):
    signer, source, target = Signer(signature), DATA / "demo.mp4", tmp_path / "signed"
    signer.sign_video(source, target, video_media(source, Path("x.mp4")), source, "EdgeColor")
    assert told("video/mp4", target.read_bytes())["ingredients"][0]["title"] == "demo.mp4"


@pytest.mark.parametrize("name", ["film.avi", "film.ts"])
def test_a_film_that_is_not_what_its_name_says_is_signed_all_the_same(signature, tmp_path, name):
    source, target = tmp_path / name, tmp_path / "signed"
    shutil.copy(DATA / "demo.mp4", source)
    Signer(signature).sign_video(DATA / "demo.mp4", target, "video/mp4", source, "EdgeColor")
    assert told("video/mp4", target.read_bytes())["ingredients"][0]["format"] == "application/octet-stream"


def test_containers_without_a_place_are_named(signature):
    with pytest.raises(ConfigError, match=r"film\.mpg: a \.mkv video has no place"):
        video_media(Path("film.mpg"), Path("out.mkv"))
    with pytest.raises(ConfigError, match="BMP has no place"):
        Signer(signature).sign_picture(b"", "bmp", b"", "bmp", Path("a.bmp"), "EdgeColor")


def test_what_can_not_be_signed_is_an_output_error(signature):
    with pytest.raises(OutputError, match=r"^a\.jpg: its result can not be signed"):
        Signer(signature).sign_picture(b"no picture", "jpeg", b"no picture", "jpeg", Path("a.jpg"), "EdgeColor")


def test_the_fingerprint_follows_the_certificate(signature, tmp_path):
    other = tmp_path / "other.pem"
    other.write_text("x")
    assert signature.fingerprint() != Signature(other, signature.key).fingerprint()


def test_keys_and_certificates_that_will_not_do(signature, tmp_path):
    key = tmp_path / "key"
    shutil.copy(signature.key, key)
    for mode in (0o644, 0o660, 0o640, 0o620, 0o602):
        key.chmod(mode)
        with pytest.raises(CredentialsError, match="chmod 600"):
            Signer(Signature(signature.certificate, key))
    for content in (b"", b"secret words", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"):
        key.write_bytes(content)
        key.chmod(0o600)
        with pytest.raises(CredentialsError, match="not a private key in PEM") as caught:
            Signer(Signature(signature.certificate, key))
        assert "secret" not in str(caught.value) and caught.value.__cause__ is None
    key.write_bytes(UNKNOWN_CURVE)
    with pytest.raises(CredentialsError, match="no such kind of key"):
        Signer(Signature(signature.certificate, key))
    with pytest.raises(CredentialsError, match=r"gone: can not be read"):
        Signer(Signature(signature.certificate, tmp_path / "gone"))
    authority = signature.certificate.with_name("ca.pem")
    with pytest.raises(CredentialsError, match="must be the key's own"):
        Signer(Signature(authority, signature.key))
    with pytest.raises(CredentialsError, match="can not be used with"):
        Signer(Signature(signature.certificate, signing_certificate(tmp_path / "else")[1]))


def test_without_the_library_it_is_said_what_to_install(signature, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(RuntimeMissingError, match=r"pip install '\.\[c2pa\]' in a checkout"):
        Signer(signature)
