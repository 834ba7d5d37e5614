"""How good a trained codec is: resynthesis of whole sets, scores, tables."""
