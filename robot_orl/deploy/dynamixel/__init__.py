"""An arm of Dynamixel servos: their control table, the bus, calibration, and joints in angles."""
