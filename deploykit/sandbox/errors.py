"""The one error of the sandbox."""


class SandboxError(Exception):
    """The sandbox could not start or answer.

    Args:
        what: What went wrong.
        where: The file, port or program concerned.
        mend: What to do about it.
    """

    def __init__(self, what: str, where: str, mend: str) -> None:
        super().__init__(f"{what}: {where}. {mend}")
        self.what, self.where, self.mend = what, where, mend
