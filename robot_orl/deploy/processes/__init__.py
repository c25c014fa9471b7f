"""The processes of a deployment beside the one that holds the robot, and what lies between them."""
