"""The parts of the strategy `balanced`: candidate rules, and the stable partitions that they are measured on."""
