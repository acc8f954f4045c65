"""The k-means library: arrays in, arrays out. It knows no step, no file and no cluster of machines."""
