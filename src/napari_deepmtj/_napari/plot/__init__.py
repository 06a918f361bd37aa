"""MTJ over time: canvas, channels, findings and smoothing."""
