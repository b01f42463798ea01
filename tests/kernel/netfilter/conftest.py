"""Makes nat_lab importable wherever pytest starts."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
