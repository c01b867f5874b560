"""A real Postfix with real clients.

certificates    key pairs, made with the openssl command
instance        a private Postfix: its own configuration, queue, data, log and ports under one temporary directory
conversation    one SMTP connection from an address of its own, up to the first byte after STARTTLS
hello           first flights of TLS that no library sends any more, as bytes
firstflights    those of real clients; random ones come from mailtls.edge.randomhello
profiles        services with different TLS, and what they should come to; comparing: predictions beside answers and log
clients         the cast: each client is one function, and tells in plain words what happened to it
programs        mailtlsctl, mailtlsd and mailtls-keeper, run as an operator or systemd runs them
sendingservers  Postfix and Exim as the ones who send
authserver      what Postfix asks when it is to announce AUTH
world           all of it together: Postfix, keeper and mailtlsd, and what one asks of them
netns           a small internet of the tests' own, in network namespaces
doors           a mail server in it, who comes from where, and the full matrix of versions and suites
doors_world     that mail server with its doors, keeper and mailtlsd

`scripts/demo.py` plays the same cast for people to see; the tests here assert what mailtls makes of it.
"""
