"""One file per format: `read(path, request) -> Source` imports, `write(dataset, out, progress)` exports.

A format offers either or both; the commands find it by the name of its file.
"""
