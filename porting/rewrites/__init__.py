"""Rewrites: what the changes of porting.routes do to a model, each a small function, by the same words.

model: to the module, before it is captured. program, pairs: to the captured program, operator by operator. graph: to the ONNX
graph. prove: that the rewritten model answers as before. Nothing here decides when a change is made.
"""
