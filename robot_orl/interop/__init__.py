"""The formats of others: `formats/` holds one file per format; `base` says what such a file offers."""
