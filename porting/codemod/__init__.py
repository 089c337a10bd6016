"""Source code that was written for CUDA: what in it is (scan), what can be made device-agnostic (rewrite), and whether that runs
(verify). Standard library alone; what is known of CUDA, packages and effort is data beside the code."""
