"""Certificates for signing and for TLS, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import need

_LEAF = """basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=emailProtection
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


def signing_certificate(folder: Path, algorithm: str = "ec") -> tuple[Path, Path]:
    """(chain, key): a certificate for document signatures, the authority's behind it, and the private key. "ec", "rsa", "ed25519"."""
    openssl = need("openssl", "openssl")
    folder.mkdir(parents=True, exist_ok=True)

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
        "-subj", "/O=Archive/CN=Authority", "-days", "30", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    match algorithm:
        case "ec":  # in the older form, SEC1, which openssl still writes
            run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "leaf.key")
        case "rsa":
            run("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "leaf.key")
        case _:
            run("genpkey", "-algorithm", "ED25519", "-out", "leaf.key")
    (folder / "leaf.key").chmod(0o600)
    (folder / "leaf.ext").write_text(_LEAF)
    run("req", "-new", "-key", "leaf.key", "-subj", "/O=Archive/CN=Signer", "-out", "leaf.csr")
    run("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "30", "-extfile", "leaf.ext", "-out", "leaf.pem")
    (folder / "chain.pem").write_bytes((folder / "leaf.pem").read_bytes() + (folder / "ca.pem").read_bytes())
    return folder / "chain.pem", folder / "leaf.key"


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) of localhost and 127.0.0.1, signed by itself, as cameras have them."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        need("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
