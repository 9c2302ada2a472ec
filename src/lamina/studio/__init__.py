"""The studio: explore, train, try, compare and claims, in the browser.

What it does is in plain functions, each one call of the public API, which is shown beside its result; ``page`` draws
them.
"""
