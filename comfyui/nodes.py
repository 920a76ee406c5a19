"""ComfyUI's node classes, made of the definitions in nodes.json, so that workflows load whether the server is up or not."""
import json
import queue
from concurrent.futures import wait
from typing import Any

import comfy.model_management as management
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import get_executing_context

from .client import Client, Execution
from .progress import Reporter
from .server import PACK, Server, model_files, stamp

POLL_SECONDS = 0.2  # How long an interrupt may go unnoticed.
CANCEL_SECONDS = 30.0  # In which a cancelled training writes its checkpoint.
OPTIONS = {key: key for key in ("tooltip", "default", "min", "max", "step")} | {"controlAfterGenerate": "control_after_generate"}
Definition = dict[str, Any]
SERVER = Server()
CLIENT = Client(SERVER)


def input_types(node: Definition) -> dict[str, dict[str, Any]]:
    """ComfyUI fills in no defaults, so an input that has one is optional: the server does."""
    groups: dict[str, dict[str, Any]] = {"required": {}, "optional": {}}
    for field in node["inputs"]:
        options = {name: field[key] for key, name in OPTIONS.items() if key in field}
        if field["type"] == "FLOAT":
            options["round"] = False
        is_file = (node["id"], field["name"]) == ("FlowstepLoadModel", "file") and not SERVER.is_remote
        kind = model_files() if is_file else field.get("options", field["type"])
        groups["required" if field["required"] else "optional"][field["name"]] = (kind, options)
    return groups


def run_node(node: Definition, values: dict[str, Any]) -> Any:
    """Runs the node at the server; returns what ComfyUI expects of a node."""
    context = get_executing_context()
    reporter = Reporter(context.prompt_id, context.node_id)
    is_training = node["outputNode"] and node["category"] == "flowstep/training"
    if is_training and SERVER.device == "cuda" and not SERVER.is_remote and not management.cpu_mode():
        # It needs the card that ComfyUI's own models fill.
        management.unload_all_models()
        management.soft_empty_cache()
    execution = Execution(node["id"], values)
    task = CLIENT.start(execution)
    event: dict[str, Any] | None = {"type": "none"}
    try:
        while event is not None:
            reporter.show(event)
            management.throw_exception_if_processing_interrupted()
            try:
                event = execution.events.get(timeout=POLL_SECONDS)
            except queue.Empty:
                event = {"type": "none"}
    except BaseException:
        CLIENT.cancel(execution)
        wait([task], CANCEL_SECONDS)
        if not task.cancel():
            # It tells where a training was kept.
            reporter.text(str(task.exception() or ""))
        raise
    result = task.result()
    if result["files"]:
        reporter.text("Wrote " + ", ".join(result["files"]))
    blocked = {name: ExecutionBlocker(why) for name, why in result["blocked"].items()}
    outputs = tuple({**blocked, **result["outputs"]}.get(output["name"]) for output in node["outputs"])
    return {"ui": {"text": result["files"]}, "result": outputs} if node["outputNode"] else outputs


def make_class(node: Definition) -> type:
    types, names, tooltips = (tuple(output[key] for output in node["outputs"]) for key in ("type", "name", "tooltip"))
    members: dict[str, Any] = {
        "INPUT_TYPES": classmethod(lambda cls: input_types(node)),
        "RETURN_TYPES": types,
        "RETURN_NAMES": names,
        "OUTPUT_TOOLTIPS": tooltips,
        "OUTPUT_NODE": node["outputNode"],
        "CATEGORY": node["category"],
        "DESCRIPTION": node["description"],
        "FUNCTION": "run",
        "run": lambda self, **values: run_node(node, values),
    }
    if node["id"] in ("FlowstepLoadModel", "FlowstepDataset"):
        # They name files, which change outside of the graph; those of a remote server cannot be watched.
        members["IS_CHANGED"] = classmethod(lambda cls, **values: float("nan") if SERVER.is_remote else stamp(values))
    if node["id"] == "FlowstepLoadModel":
        # A file that is not among the choices is the node's to refuse: it says what makes it.
        members["VALIDATE_INPUTS"] = classmethod(lambda cls, file: True)
    return type(node["id"], (), members)


NODES: list[Definition] = json.loads((PACK / "comfyui" / "nodes.json").read_text("utf-8"))
NODE_CLASS_MAPPINGS = {node["id"]: make_class(node) for node in NODES}
NODE_DISPLAY_NAME_MAPPINGS = {node["id"]: node["displayName"] for node in NODES}
