"""What a node tells while it runs, by ComfyUI's own means; the metrics are kept for pages that come later."""
import io
from typing import Any

import comfy.utils
from aiohttp import web
from PIL import Image
from server import PromptServer

MAX_POINTS = 1000  # Of a chart: about its pixels. Past it every second one is dropped.
MAX_NODES = 50  # Whose last runs are kept.

history: dict[str, list[dict[str, Any]]] = {}  # By node id: the events flowstep.metrics of its last run.


@PromptServer.instance.routes.get("/flowstep/history")
async def get_history(_: web.Request) -> web.Response:
    return web.json_response(history)


def remember(event: dict[str, Any]) -> None:
    """Another prompt begins anew; a run that goes on from a checkpoint drops what came after it."""
    known = history.pop(event["node"], [])
    run = [old for old in known if old["prompt_id"] == event["prompt_id"] and old["step"] < event["step"]]
    history[event["node"]] = (run[::2] if len(run) >= MAX_POINTS else run) + [event]
    if len(history) > MAX_NODES:
        del history[next(iter(history))]


class Reporter:
    """Shows the events of one execution on its node."""

    def __init__(self, prompt_id: str, node_id: str) -> None:
        self._told = {"prompt_id": prompt_id, "node": node_id, "step": 0, "steps": 1, "stepsPerSecond": None, "etaSeconds": None}
        self._bar = comfy.utils.ProgressBar(1)

    def show(self, event: dict[str, Any]) -> None:
        self._told |= {name: event[name] for name in self._told if name in event}
        if event["type"] == "text":
            self.text(event["text"])
        elif event["type"] == "accepted" and event["position"] > 0:
            self.text(f"Waiting: {event['position']} before this one.")
        elif event["type"] in ("progress", "preview"):
            picture = ("PNG", Image.open(io.BytesIO(event["data"])), None) if "data" in event else None  # None: at its own size.
            self._bar.update_absolute(self._told["step"], self._told["steps"], picture)
        elif event["type"] == "metrics":
            told = {**self._told, "metrics": event["metrics"]}
            remember(told)
            PromptServer.instance.send_sync("flowstep.metrics", told)  # To all pages: one opened later has another client id.

    def text(self, text: str) -> None:
        PromptServer.instance.send_progress_text(text, self._told["node"], PromptServer.instance.client_id)
