"""report room; see docs/develop/architecture.md."""
