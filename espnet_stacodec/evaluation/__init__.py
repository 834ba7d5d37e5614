"""Evaluation of trained codecs: resynthesis of whole sets, scores, tables."""
