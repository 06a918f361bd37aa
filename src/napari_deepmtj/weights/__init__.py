"""Trained networks on disk: safetensors files that carry their own card.

No network is defined here (`networks`) and none is trained (`training`).
"""
