"""What the manifest names besides widgets: reader, writer, commands, sample data."""
