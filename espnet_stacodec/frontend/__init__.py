"""Frontends for ESPnet's ASR, SLU, translation and classification tasks."""
