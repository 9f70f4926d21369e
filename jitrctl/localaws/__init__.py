"""The local AWS, and a real MQTT device to connect to it."""
