"""Connects devices over MQTT, to the local AWS and to AWS IoT."""
