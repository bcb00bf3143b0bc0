"""Audio → features: the one definition that datasets, training and the firmware share."""
