"""LeRobotDataset: the layout of its files, writing and reading them; `formats/lerobot` is the way in.

Source: https://github.com/huggingface/lerobot, src/lerobot/datasets, codebase version v3.0.
"""
