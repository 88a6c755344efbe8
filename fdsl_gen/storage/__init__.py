"""Where files stand: folders of this machine and the object stores of three clouds.

:class:`~fdsl_gen.storage.base.Store` is what both can do; in both a file is whole or not there.
"""
