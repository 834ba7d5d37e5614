"""What recipes that read codes need: discrete-token ASR, spoken language understanding."""
