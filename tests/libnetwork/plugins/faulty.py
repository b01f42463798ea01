#!/usr/bin/env python3
"""The example plugin with faults, which it reads from the file `faults.json` beside its socket before each call.

`{"NetworkDriver.Join": {"status": 500, "body": "…"}}` replaces the plugin's response. Instead of a response,
`"die": true` ends the process and `"close": true` the connection; `"sleep": 2.0` delays it. With `"after": true` the
plugin does its own work first. A fault lasts until the file changes.
"""

import importlib.util
import json
import os
import sys
import time
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "plugins" / "wire.py"
spec = importlib.util.spec_from_file_location("wire", EXAMPLE)
wire = importlib.util.module_from_spec(spec)
spec.loader.exec_module(wire)


class FaultyHandler(wire.Handler):
    def do_POST(self):  # noqa: N802 - the name that http.server looks for
        faults = Path(sys.argv[1]).with_name("faults.json")
        fault = json.loads(faults.read_text() or "{}").get(self.path[1:]) if faults.exists() else None
        if fault is None:
            return super().do_POST()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.log_file:
            with Path(self.log_file).open("a", encoding="utf-8") as log:
                asked = json.loads(body) if body.strip() else None
                log.write(
                    json.dumps({"call": self.path[1:], "headers": dict(self.headers), "body": asked, "fault": fault})
                    + "\n"
                )
        if fault.get("after"):
            self.answer(self.path[1:], json.loads(body) if body.strip() else None)
        time.sleep(fault.get("sleep", 0))
        if fault.get("die"):
            os._exit(1)
        if fault.get("close"):
            self.close_connection = True
            return None
        content = fault.get("body", "{}").encode() * fault.get("times", 1)
        self.send_response(fault.get("status", 200))
        self.send_header("Content-Length", str(fault.get("length", len(content))))
        self.end_headers()
        self.wfile.write(content)
        if "length" in fault:
            self.close_connection = True
        return None


if __name__ == "__main__":
    wire.Handler = FaultyHandler
    wire.main()
