"""Why does this device not connect? The links between a certificate and an accepted connection, walked in order.

    case       one device in one stage: all reading from AWS, each thing once, when it is first asked for
    paper      links that are in files: the certificate, who signed it, what the rules will say
    authority  the CA as this account has it registered
    delivery   AWS IoT's log, topic rule, its role, the queues
    deciding   mapping, messages, function, certificate's status, decision
    admitted   thing, policy, and what the policy allows
    knocking   the device's own connection, with its key
    policies   what policy documents allow, for IAM's and AWS IoT's
    walk       the links in order, and how far a device's certificate gets

The links judge and read nothing themselves: each is a function from what the case tells to a Finding.
"""
