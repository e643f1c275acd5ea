"""The MQTT bridge: Homie 5, Home Assistant discovery, questions in, answers and alerts out."""
