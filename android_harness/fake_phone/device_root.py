"""The folder that a fake phone takes for its file system, and the programs it adds."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from android_harness.fake_phone.processes import MARKER

DATA_FOLDER = "data/local/tmp"

_HOST_ABI = {"x86_64": "x86_64", "aarch64": "arm64-v8a"}

_GETPROP = """#!/bin/sh
# getprop [NAME [DEFAULT]], as on Android.
table={table}
if [ $# -eq 0 ]; then
  sed 's/^\\([^=]*\\)=\\(.*\\)$/[\\1]: [\\2]/' "$table"
  exit
fi
while IFS= read -r line; do
  case $line in "$1="*) printf '%s\\n' "${{line#*=}}"; exit ;; esac
done <"$table"
printf '%s\\n' "${{2-}}"
"""


def default_properties() -> dict[str, str]:
    """The property table of a phone that runs this host's programs."""
    machine = platform.machine()
    return {
        "ro.build.version.release": "14",
        "ro.build.version.sdk": "34",
        "ro.product.cpu.abilist": _HOST_ABI.get(machine, machine),
        "ro.product.manufacturer": "fwdllm",
        "ro.product.model": "Fake Phone",
        "ro.product.name": "fake_phone",
        "ro.soc.model": f"host {machine}",
    }


class DeviceRoot:
    """A temporary folder with `data/local/tmp`, a `bin` at the head of PATH, and system files.

    Args:
        properties: what getprop prints.
        files: contents of /proc and /sys files of another device, by absolute path; with any,
            device facts are read from these alone.
        scripts: more programs by name, as POSIX sh.
    """

    def __init__(
        self,
        *,
        properties: Mapping[str, str],
        files: Mapping[str, str],
        scripts: Mapping[str, str],
    ) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fwdllm-fake-phone-"))
        self.marker = uuid.uuid4().hex
        (self.path / DATA_FOLDER).mkdir(parents=True)
        self._system = self.path / "system" if files else None
        for name, content in files.items():
            file = self.resolve(f"/system{PurePosixPath('/', name)}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        table = self.path / "properties"
        table.write_text("".join(f"{name}={value}\n" for name, value in sorted(properties.items())))
        self._add_program("getprop", _GETPROP.format(table=shlex.quote(str(table))))
        for name, script in scripts.items():
            self._add_program(name, script)

    def environment(self) -> dict[str, str]:
        """The environment of commands on the phone."""
        inherited = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
        return {
            **inherited,
            "PATH": f"{self.path / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.path),
            "TMPDIR": str(self.path / DATA_FOLDER),
            "FWDLLM_WORKSPACE": str(self.path / DATA_FOLDER / "fwdllm"),
            "FWDLLM_SYSTEM_ROOT": str(self._system or ""),
            MARKER: self.marker,
        }

    def resolve(self, remote: str) -> Path:
        """The file behind a path that a host names; always inside the root."""
        path = os.path.normpath("/" + remote.lstrip("/"))
        if path == str(self.path) or path.startswith(f"{self.path}/"):
            return Path(path)
        return Path(f"{self.path}{path}")

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def _add_program(self, name: str, script: str) -> None:
        program = self.path / "bin" / PurePosixPath(name).name
        program.parent.mkdir(exist_ok=True)
        program.write_text(script)
        program.chmod(0o755)
