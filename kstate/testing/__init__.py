"""What tests of processors, logs, stores and codecs share; shipped with the package."""
