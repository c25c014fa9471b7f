"""One of LeRobot's robots, which lives in an environment of its own, at a local socket."""
