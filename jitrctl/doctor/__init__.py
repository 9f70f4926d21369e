"""Finds out why a device does not connect: checks the links from its certificate to an accepted connection, in order.

    context      one device in one stage; reads everything from AWS, each thing once, when it is first needed
    files        links in files: the certificate, its issuer, the checks that the functions will make
    ca           the CA as this account has it registered, and AWS IoT's log
    delivery     topic rule, its role, the queue
    decision     mapping, messages, function, the certificate's status, the decision
    provisioned  thing, policy, what the policy allows, the connection that is open now
    connect      a connection with the device's key
    policies     evaluates policy documents of IAM and AWS IoT
    runner       the links in order; stops at the first that is broken

A link reads nothing itself: it is a function from a DeviceContext to a LinkFinding.
"""
