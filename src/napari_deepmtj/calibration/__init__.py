"""calibration room; see docs/architecture.md."""
