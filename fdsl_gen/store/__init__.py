"""Where files stand: folders of this machine (``local``) and object storage (``s3``).

In both a file is whole or not there. The local functions are what most callers need.
"""

from fdsl_gen.store.local import _HOST as _HOST
from fdsl_gen.store.local import file_sha256 as file_sha256
from fdsl_gen.store.local import sweep as sweep
from fdsl_gen.store.local import write as write
from fdsl_gen.store.local import write_new as write_new
from fdsl_gen.store.local import write_temporary as write_temporary
