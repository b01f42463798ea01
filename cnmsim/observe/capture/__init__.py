"""Capture of frames: pcapng files, and the keys with which Wireshark decrypts them."""
