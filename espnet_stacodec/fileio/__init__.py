"""Files: atomic writing, Kaldi's lists, arks, audio, data directories, codes."""
