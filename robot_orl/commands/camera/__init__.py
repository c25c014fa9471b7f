"""`robot-orl camera TOOL`: one file per tool with its `Config` and `run(cfg)`; nothing else lists them."""
