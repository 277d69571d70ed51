"""The sample browser: outputs of two cells side by side, item by item."""
