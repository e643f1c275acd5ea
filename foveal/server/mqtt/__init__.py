"""The live server on an MQTT broker."""
