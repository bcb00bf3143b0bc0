"""A benchmark of the search itself: controllers compared on a table of networks that were trained once.

collect (trains and measures networks) → table → surrogate (accuracy of any network) → compare (controllers, seeds)
"""
