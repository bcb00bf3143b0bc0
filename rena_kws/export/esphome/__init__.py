"""An int8 network for ESPHome: windows.py takes it apart, streaming_model.py writes it anew, bundle.py packs it."""
