"""What is looked at: data before training, numbers while it goes on, values against returns."""
