"""What goes wrong with identities.

    IdentityError
      InvalidSpiffeId    a text or a name makes no SPIFFE ID
      InvalidCertificate a certificate, key or signing request is not what it has to be
      InvalidToken       a text is no join token, or no rule for service accounts
      Denied             the caller is known, or not, and may not have what it asked for
      Untrusted          the control plane could not prove who it is; nothing secret was sent to it
      Unavailable        the control plane, or what it writes to, does not answer; try again later
      Damaged            a file that this program wrote does not hold what it wrote
      UnsafeFile         a secret file or its directory is open to others, or somebody else's
      InUse              another process has the directory

Messages are for people and hold no secret.
"""


class IdentityError(Exception):
    """The tree of what this package raises."""


class InvalidSpiffeId(IdentityError):
    pass


class InvalidCertificate(IdentityError):
    pass


class InvalidToken(IdentityError):
    pass


class Denied(IdentityError):
    pass


class Untrusted(IdentityError):
    pass


class Unavailable(IdentityError):
    pass


class Damaged(IdentityError):
    pass


class UnsafeFile(IdentityError):
    pass


class InUse(IdentityError):
    pass
