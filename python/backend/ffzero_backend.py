"""Builds the wheel of ffzero with CMake. An in-tree backend without requirements of its own, so that `pip install .` needs no network.

FFZERO_BUILD_DIR: the folder to build in (default: build/release of the project, so that what is built already is used).
SPDX-License-Identifier: MIT
"""

import base64
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _version():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(r"project\(ffzero VERSION ([0-9.]+)", text).group(1)


def _tag():
    name = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{name}-{name}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def _metadata():
    return f"Metadata-Version: 2.1\nName: ffzero\nVersion: {_version()}\nRequires-Python: >=3.11\nRequires-Dist: numpy\nLicense: MIT\n"


def _build():
    folder = pathlib.Path(os.environ.get("FFZERO_BUILD_DIR", ROOT / "build" / "release"))
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DFFZERO_PYTHON=ON"]
    if not (folder / "CMakeCache.txt").exists():
        configure.append("-DFFZERO_BUILD_TESTS=OFF")
    subprocess.run([*configure, f"-DPython_EXECUTABLE={sys.executable}"], check=True)
    subprocess.run(["cmake", "--build", str(folder), "--target", "ffzero_python", "--parallel", str(os.cpu_count() or 1)], check=True)
    return folder / "python" / "ffzero"


def _write(path, files):
    """files: name in the wheel -> bytes; RECORD is added."""
    info = f"ffzero-{_version()}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": _metadata().encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: ffzero_backend\nRoot-Is-Purelib: false\nTag: {_tag()}\n".encode(),
    }
    record = ""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(data)}\n"
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return path.name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    package = _build()
    files = {f"ffzero/{file.name}": file.read_bytes() for file in sorted(package.iterdir()) if file.is_file()}
    return _write(pathlib.Path(wheel_directory) / f"ffzero-{_version()}-{_tag()}.whl", files)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    package = _build()
    return _write(pathlib.Path(wheel_directory) / f"ffzero-{_version()}-{_tag()}.whl", {"ffzero.pth": f"{package.parent}\n".encode()})


def build_sdist(sdist_directory, config_settings=None):
    raise NotImplementedError("ffzero is installed from its source folder: pip install <folder>")


def get_requires_for_build_wheel(config_settings=None):
    return []


get_requires_for_build_editable = get_requires_for_build_wheel
