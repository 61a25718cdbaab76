"""Certificates on disk, as daemons, libraries and tools want them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.tls import Authority


class Certificates(Authority):
    """Those of a server at 127.0.0.1 and of a client, both by one authority, as PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        own = self.certificate("client")
        own.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
        own.private_key_pem.write_to_path(str(folder / "client.key"))

    @property
    def flags(self) -> list[str]:
        return [*super().flags, "--https-address=127.0.0.1:0"]

    def features(self, layers: tuple[str, ...], *, own: bool = False) -> dict[str, Any]:
        """What a client's program is told; ``own`` gives it a certificate of its own."""
        features: dict[str, Any] = {layer: True for layer in layers if layer != "TLS"}
        if "TLS" in layers:
            features["tls_ca"] = str(self.folder / "ca.pem")
        if own:
            features["tls_cert"] = str(self.folder / "client.pem")
            features["tls_key"] = str(self.folder / "client.key")
        return features

    def settings(self, layers: tuple[str, ...], *, own: bool = False) -> list[str]:
        """The same as client settings of the original's tools."""
        settings = [layer for layer in layers if layer != "TLS"]
        if "TLS" in layers:
            settings += ["tls_v1", f"tls_root_ca_file,{self.folder / 'ca.pem'}", "tls_min_version,tls1.2"]
        if own:
            settings += [f"tls_cert,{self.folder / 'client.pem'}", f"tls_key,{self.folder / 'client.key'}"]
        return settings
