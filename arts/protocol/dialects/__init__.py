"""Every way in which clients and runtimes speak to the supervisor, each in a module of its own.

``base`` says what a dialect is and how a message is taken apart before anybody knows which one it
is in; ``native``, ``arts``, ``silverline2022``, ``silverline`` and ``arena`` are the dialects;
``registry`` finds the one that a message, an asker or a runtime speaks. The realm sees native
events only: it keeps the *name* of a dialect with what it owes (``ReplyTo``) and with whom it
commands (``Runtime``), and means nothing by it.
"""
