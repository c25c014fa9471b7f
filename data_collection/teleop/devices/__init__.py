"""Devices at the robot's machine: a gamepad, a SpaceMouse, a leader arm; the terminal beside them."""
