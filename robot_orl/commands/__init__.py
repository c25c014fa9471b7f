"""What each command does: one module per command, each with `run(cfg)`. Loaded when it is called for,
so that `deploy` needs no PyTorch.
"""
