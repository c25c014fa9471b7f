"""robot_orl: from mixed-quality demonstrations to a controller that runs in real time."""

__version__ = "0.1.0"
