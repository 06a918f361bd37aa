"""TIFF stacks, arrays, folders of pictures and Telemed's converted recordings."""
