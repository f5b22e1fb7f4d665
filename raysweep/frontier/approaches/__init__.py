"""The three approaches of arXiv 2203.15556: envelope, IsoFLOP, parametric."""
