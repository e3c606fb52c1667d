"""Planted weak ciphers: each has one fault that its attacks must find."""
