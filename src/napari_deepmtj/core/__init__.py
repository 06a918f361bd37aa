"""core room; see docs/architecture.md."""
