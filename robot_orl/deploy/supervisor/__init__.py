"""What stands between whoever acts and the robot: limits, checks, a state machine, and ways to stop."""
