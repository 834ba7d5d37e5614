"""Where the semantic tokens of the first layer come from, and what is learned from them."""
