"""Calibrate: form and controller of scale and region."""
