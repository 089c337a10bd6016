"""What is known of accelerators by their makers' own words, and a device that keeps to it without being one.

profile: a maker's names, dtypes, operator lists, as data with sources. operators: what a list says of an operator. ledger: what
a run was seen to do. standin: a PyTorch device of the maker's name that computes on the CPU. cuda and its kin: one for CUDA
itself. Adapters import this, too, so: Python 3.9 syntax, standard library, torch inside functions.
"""
