"""An int8 network → what ESPHome loads: windows.py takes it apart, streaming_model.py writes it anew, bundle.py packs it."""
