"""Audio to codes and back with a trained codec."""
