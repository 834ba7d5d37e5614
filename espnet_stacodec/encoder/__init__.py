"""Encoders for ESPnet's tasks that read codes."""
