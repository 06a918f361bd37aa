"""phantom room; see docs/architecture.md."""
