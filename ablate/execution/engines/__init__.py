"""Where jobs run: one small protocol, and an engine for each kind of place."""
