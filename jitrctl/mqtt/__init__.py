"""MQTT connections of a device, to the local AWS and to AWS IoT."""
