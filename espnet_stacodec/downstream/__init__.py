"""Recipes that read codes: discrete-token ASR, spoken language understanding."""
