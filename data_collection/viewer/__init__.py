"""What a page shows of a robot: the scene in 3-D, episodes to scrub through, and the door to the page."""
