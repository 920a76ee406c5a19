"""The Flowstep server, a child of ComfyUI or one that runs elsewhere, and the folders that it works in."""
import glob
import json
import os
import re
import secrets
import subprocess
import threading

import folder_paths

from ..install import PACK, cuda_environment, server_command

KINDS = ("flowstep", "checkpoints", "diffusion_models", "loras")  # ComfyUI's folders of models.
for folder in (os.path.join(folder_paths.models_dir, "flowstep"), str(PACK / "models")):
    folder_paths.add_model_folder_path("flowstep", folder)


class FlowstepError(Exception):
    """ComfyUI shows the text on the node: what went wrong, then what to do about it."""
    __module__ = "builtins"  # ComfyUI shows any other before the name: ours is a folder's path.

    def __str__(self) -> str:
        return "\n".join(filter(None, self.args))


def model_files(*kinds: str) -> list[str]:
    """What is there now: in ComfyUI's folders of these kinds, then models (no states of runs, no data) in the output folder."""
    written = glob.glob("**/*.safetensors", root_dir=folder_paths.get_output_directory(), recursive=True)
    written = [name for name in sorted(written) if not re.search(r"^runs.*(checkpoint-|\Wsteps\W\d{9}\W)|^cache\W", name)]
    names = [name for kind in kinds for name in folder_paths.get_filename_list(kind) if name.endswith(".safetensors")]
    return list(dict.fromkeys(name.replace(os.sep, "/") for name in names + written))


class Server:
    """FLOWSTEP_URL and FLOWSTEP_TOKEN name one that runs already; without them a child is started when needed."""

    def __init__(self) -> None:
        self._url = os.environ.get("FLOWSTEP_URL", "")
        self.is_remote = self._url != ""
        self._token = os.environ.get("FLOWSTEP_TOKEN", "") if self.is_remote else secrets.token_hex(32)
        self.device = os.environ.get("FLOWSTEP_DEVICE", "auto")
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def address(self) -> tuple[str, str]:
        """Websocket address and token; starts the child, or one in place of a child that has ended. Blocks."""
        with self._lock:  # Who gave up waiting for a start has left a thread in it; the next waits for the same start.
            if not self.is_remote and (self._child is None or self._child.poll() is not None):
                self._child = self._start()
            return self._url.replace("http", "ws", 1).rstrip("/") + "/ws", self._token

    def _start(self) -> subprocess.Popen[str]:
        command = [*server_command(), "serve", "--token-stdin", "--device", self.device]
        folders = {
            "FLOWSTEP_MODELS": os.pathsep.join(folder for kind in KINDS for folder in folder_paths.get_folder_paths(kind)),
            "FLOWSTEP_OUTPUT": folder_paths.get_output_directory(),
            "FLOWSTEP_DATA": os.environ.get("FLOWSTEP_DATA") or folder_paths.get_input_directory(),
        }
        # A session of its own: Ctrl-C is for ComfyUI. The child ends in order when its stdin does, however ComfyUI ends.
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "start_new_session": True}
        child = subprocess.Popen(command, env={**os.environ, **cuda_environment(), **folders}, cwd=PACK, **options)
        try:
            print(self._token, file=child.stdin, flush=True)
            told = json.loads(child.stdout.readline())
            self._url, self.device = told["url"], told["device"]
        except (OSError, ValueError, KeyError, TypeError):
            child.kill()
            raise FlowstepError("the Flowstep server did not start", "ComfyUI's log has what it said.") from None
        return child
