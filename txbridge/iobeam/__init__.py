"""iobeam: projects of devices whose series are written as tables of rows, and read by query."""
