"""A process of a training that is in no exchange with others, as while it loads or validates."""

import os
import time
from pathlib import Path

starter = os.getppid()
name = Path(os.environ["IDLE_RANKS"]) / os.environ["RANK"]
name.with_suffix(".part").write_text(str(os.getpid()))
name.with_suffix(".part").rename(name)
# As `launcher.end_with_starter`, without importing torch.
while os.getppid() == starter:
    time.sleep(0.2)
