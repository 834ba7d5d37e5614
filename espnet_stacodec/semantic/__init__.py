"""Semantic tokens: features of a self-supervised model, clustered by k-means, one token a frame.

info.py (what a tokenizer is) and token_files.py (its tokens on disk) import neither torch nor a
model, so that everybody may read them; the other modules run models.
"""
