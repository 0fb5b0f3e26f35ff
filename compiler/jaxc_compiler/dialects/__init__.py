"""The dialects of ours: `lax` and `kernel`.

Each dialect module has `load()`.
"""
