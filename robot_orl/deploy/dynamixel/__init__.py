"""Dynamixel servos: their control table, and a virtual arm that speaks their protocol."""
