"""The schema's history. A revision's id is its file's name, and says its branch: expand_NNNN or contract_NNNN.

An expanding revision only adds, so that the older version of the service goes on working; it is applied
first. A contracting one takes away what the older version alone needed; it is applied when none runs any more.
"""
