"""A device's MQTT connection: to the local AWS, and to AWS IoT itself."""
