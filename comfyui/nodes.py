"""ComfyUI's node classes, made of the definitions in nodes.json, so that workflows load whether the server is up or not."""
import json
from concurrent.futures import wait
from typing import Any

import comfy.model_management as management
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import get_executing_context

from .client import Client, Execution, Message
from .progress import Reporter
from .server import PACK, Server, model_files

POLL_SECONDS = 0.1  # How long an interrupt may go unnoticed, and events wait.
CANCEL_SECONDS = 30.0  # In which a cancelled training writes its checkpoint.
NAME_SECONDS = 60.0  # In which a server starts and hashes a large file.
SERVER = Server()
CLIENT = Client(SERVER)


def run_node(name: str, attributes: Message, values: Message) -> Any:
    """Runs the node at the server; returns what ComfyUI expects of a node."""
    context = get_executing_context()
    reporter = Reporter(context.prompt_id, context.node_id)
    is_training = attributes["OUTPUT_NODE"] and attributes["CATEGORY"] == "flowstep/training"
    is_here = is_training and not SERVER.is_remote and not management.cpu_mode()
    if is_here and (SERVER.device != "auto" or SERVER.address()) and SERVER.device == "cuda":
        management.unload_all_models()  # They fill the card that it needs.
        management.soft_empty_cache()
    execution = Execution(name, values)
    task, is_over = CLIENT.start(execution), False
    try:
        while not is_over:
            is_over = task in wait([task], POLL_SECONDS).done
            while execution.events:
                reporter.show(execution.events.popleft())
            management.throw_exception_if_processing_interrupted()
    except BaseException:
        CLIENT.cancel(execution)
        wait([task], CANCEL_SECONDS)
        if not task.cancel():
            reporter.text(str(task.exception() or ""))  # It tells where a training was kept.
        raise
    result = task.result()
    blocked = {name: ExecutionBlocker(why) for name, why in result["blocked"].items()}
    outputs = tuple({**blocked, **result["outputs"]}.get(output) for output in attributes["RETURN_NAMES"])
    return {"ui": {"text": result["files"]}, "result": outputs} if attributes["OUTPUT_NODE"] else outputs


def content_of(name: str, values: Message) -> str | float:
    """The node's fingerprint: of the files that the values name. What comes through a link is None here."""
    task = CLIENT.start(Execution(name, {key: value for key, value in values.items() if value is not None}, "fingerprint"))
    wait([task], NAME_SECONDS)
    return float("nan") if task.cancel() else str(task.exception() or task.result()["outputs"])


def input_types(name: str, groups: Message) -> Message:
    """With the files that are there now as choices; those of a remote server are its own."""
    if name == "FlowstepLoadModel" and not SERVER.is_remote:
        groups["required"]["file"][0] = model_files("flowstep", "checkpoints", "diffusion_models")
        groups["optional"]["lora"][0] = ["", *model_files("loras")]
    return groups


def make_class(name: str, node: Message) -> type:
    members: Message = {
        **node["attributes"],
        "INPUT_TYPES": classmethod(lambda cls: input_types(name, node["inputs"])),
        "FUNCTION": "run",
        "run": lambda self, **values: run_node(name, node["attributes"], values),
    }
    if node["readsFiles"]:
        members["IS_CHANGED"] = classmethod(lambda cls, **values: content_of(name, values))
    if name == "FlowstepLoadModel":
        members["VALIDATE_INPUTS"] = classmethod(lambda cls, **values: True)  # The node says what makes a file that is not there.
    return type(name, (), members)


NODES: dict[str, Message] = json.loads((PACK / "comfyui" / "nodes.json").read_text("utf-8"))
NODE_CLASS_MAPPINGS = {name: make_class(name, node) for name, node in NODES.items()}
NODE_DISPLAY_NAME_MAPPINGS = {name: node["displayName"] for name, node in NODES.items()}
