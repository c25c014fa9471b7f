"""Hands over the network: a page, the process that serves it, and the loop's end of both."""
