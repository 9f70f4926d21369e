"""What policy documents of IAM and AWS IoT permit: pure, and shared by the fleet file and `jitrctl doctor`."""
