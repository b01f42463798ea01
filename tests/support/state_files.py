"""State files in the formats of earlier versions."""

import json

from cnmsim.lab.state.json_format import FORMAT, checksum


def write_json_state(path, content, version=2):
    """Write the content of a state file as a file of version 1 or 2."""
    document = {"format": FORMAT, "version": version, "sha256": checksum(content), "lab": content}
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="ascii")
