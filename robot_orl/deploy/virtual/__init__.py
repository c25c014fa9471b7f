"""A virtual arm: servos that speak their real protocol at a serial port, moved by MuJoCo in real time."""
