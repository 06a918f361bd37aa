"""core room; see docs/develop/architecture.md."""
