"""Just-in-time registration of devices with AWS IoT: decide on a certificate, provision its thing, activate it."""
