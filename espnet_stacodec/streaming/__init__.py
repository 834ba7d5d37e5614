"""A causal codec's networks on frames as they come; `inference.streams` is what users meet."""
