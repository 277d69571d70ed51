"""Controller, engines and workers."""
