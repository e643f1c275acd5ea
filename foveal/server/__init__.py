"""The live server: signalling, sockets, pages, tokens, certificates, MQTT."""
