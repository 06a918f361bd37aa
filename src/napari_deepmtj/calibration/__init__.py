"""calibration room; see docs/develop/architecture.md."""
