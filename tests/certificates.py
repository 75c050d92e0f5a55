"""An authority of our own, and what it has signed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from router.core.types import TLS


@dataclass(frozen=True)
class Certificates:
    """PEM files. `server` is good for localhost, upstream.test and 127.0.0.1, and signed by `ca`, as is `client`."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def trusting(self) -> TLS:
        return TLS(ca_file=self.path("ca.pem"))


def make_certificates(folder: Path) -> Certificates:

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    # Python 3.13 and up want of a certificate all that RFC 5280 does.
    openssl(
        *("req", "-x509", *key, "-subj", "/CN=Our CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-days", "2", "-keyout", "ca.key", "-out", "ca.pem"),
    )
    for name, subject, extension in (
        ("server", "/CN=server", "subjectAltName=DNS:localhost,DNS:upstream.test,IP:127.0.0.1"),
        ("client", "/CN=client", "extendedKeyUsage=clientAuth"),
    ):
        openssl("req", *key, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        identifiers = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        (folder / "extensions").write_text(identifiers + extension)
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "2", "-extfile", "extensions", "-out", f"{name}.pem"),
        )
    openssl(
        *("req", "-x509", *key, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-days", "2", "-keyout", "selfsigned.key", "-out", "selfsigned.pem"),
    )
    return Certificates(folder)
