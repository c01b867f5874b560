"""The pure core: values and functions; no I/O, no await, no clock, no logging, no environment.

Words, each for one idea (the glossary of the whole project):

peer        who connects: an address or network, with the name that Postfix printed for it
session     one connection of a peer, put together from the lines (or events) that speak of it
evidence    one fact that a log line, the milter, the policy protocol or a captured ClientHello states
cause       what the evidence of one session proves (`cause.Cause`)
history     what all sessions of all peers add up to
diagnosis   what the history of one peer, and of the server, means, with the proof
door        one way in: `strict`, `legacy-rsa`, `legacy`, `sslv3`
level       how far a peer is let down: none > legacy-rsa > legacy > sslv3 > cleartext
waiver      one entry of the per-peer exception list: peer, level, owner, reason, expiry
policy      the operator's will, a TOML file
decision    ignore, advise, propose, waive, extend, withdraw, with its reasons
table       a Postfix lookup table
verdict     the answer given to Postfix; and, in a report, one row of what happened
finding     something that the server itself says or does wrong

Data flows one way: evidence -> session -> cause -> history -> diagnosis -> decision -> waiver -> remedy.
"""
