"""The DeepMTJ panel: from clip to result in five steps."""
