"""torchrun that ends with the process that started it; takes torchrun's own arguments.

A controller's death would otherwise leave torchrun and its workers behind: they are in sessions
and process groups of their own.
"""

from __future__ import annotations

from torch.distributed.run import main

from ablate.execution.engines.lifeline import hold_lifeline

if __name__ == "__main__":
    hold_lifeline()
    main()
