"""Captures of frames: pcapng files and the keys that decrypt them."""
